// The kernels of one processor path. Each file here is compiled once a path, with ND_PATH as its namespace, so
// nothing in it may be shared between paths: no inline functions of the standard library that could be merged.
#pragma once
#include "../plan.hpp"

namespace neurodeploy {

// part of parts: the share of one thread; all threads of a team make the same calls.
struct Kernels {
    const char* name;
    void (*map)(const MapArgs&, Spaces, i64 part, i64 parts);
    void (*encode)(const EncodeArgs&, Spaces, i64 part, i64 parts);
    void (*lif)(const LifArgs&, Spaces, i64 part, i64 parts);
    void (*matmul)(const MatmulArgs&, Spaces, i64 part, i64 parts);
    void (*gemm)(const GemmArgs&, Spaces, i64 part, i64 parts);
    double (*lookup_gain)();
};

namespace portable { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }

namespace ND_PATH {

void map(const MapArgs&, Spaces, i64 part, i64 parts);
void encode(const EncodeArgs&, Spaces, i64 part, i64 parts);
void lif(const LifArgs&, Spaces, i64 part, i64 parts);
void matmul(const MatmulArgs&, Spaces, i64 part, i64 parts);
void gemm(const GemmArgs&, Spaces, i64 part, i64 parts);
double lookup_gain();

template <class T>
static inline T least(T a, T b) { return a < b ? a : b; }
template <class T>
static inline T most(T a, T b) { return a > b ? a : b; }

// Calls f(at0, at1, at2, n) for each innermost line of this thread's share; at: offsets of the operands.
template <class F>
static inline void for_each_line(const Loop& loop, i64 part, i64 parts, F f) {
    const int inner = loop.axes - 1;
    if (inner < 0) {
        if (part == 0) f(i64(0), i64(0), i64(0), i64(1));
        return;
    }
    i64 lines = 1;
    for (int axis = 0; axis < inner; ++axis) lines *= loop.size[axis];
    const i64 n = loop.size[inner];
    const bool pieces = lines < parts && n >= 64 * parts;  // few long lines: every thread takes a piece of each
    const i64 first = pieces ? 0 : lines * part / parts, last = pieces ? lines : lines * (part + 1) / parts;
    const i64 from = pieces ? n * part / parts : 0, to = pieces ? n * (part + 1) / parts : n;
    i64 index[MAX_AXES] = {}, at[3];
    for (int i = 0; i < 3; ++i) at[i] = from * loop.stride[i][inner];
    i64 rest = first;
    for (int axis = inner - 1; axis >= 0; --axis) {
        index[axis] = rest % loop.size[axis];
        rest /= loop.size[axis];
        for (int i = 0; i < 3; ++i) at[i] += index[axis] * loop.stride[i][axis];
    }
    for (i64 line = first; line < last; ++line) {
        f(at[0], at[1], at[2], to - from);
        for (int axis = inner - 1; axis >= 0; --axis) {
            for (int i = 0; i < 3; ++i) at[i] += loop.stride[i][axis];
            if (++index[axis] < loop.size[axis]) break;
            for (int i = 0; i < 3; ++i) at[i] -= loop.size[axis] * loop.stride[i][axis];
            index[axis] = 0;
        }
    }
}

}  // namespace ND_PATH
}  // namespace neurodeploy
