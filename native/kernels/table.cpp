#include "kernels.hpp"

#define ND_STRING(name) #name
#define ND_NAME(name) ND_STRING(name)

namespace neurodeploy::ND_PATH {

extern const Kernels kernels = {ND_NAME(ND_PATH), map, encode, lif, matmul, gemm, lookup_gain};

}  // namespace neurodeploy::ND_PATH
