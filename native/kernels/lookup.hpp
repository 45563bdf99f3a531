// Sums of binary axons by tables: six axons that lie side by side choose one of the 64 sums that their weights can make.
//
// A lane is a row. An index plane holds, for each row of the input, which of six neighbouring channels fired, as a number
// 0..63; a convolution's taps read the same planes, shifted by rows. Sums are int16 over segments that cannot overflow.
#pragma once
#include "tile.hpp"

namespace neurodeploy::ND_PATH {

using u16 = std::uint16_t;

// Up to 32 neighbouring rows of the input from `row` on, whose sums go to sums[at * OUTPUTS] and after.
struct Vector {
    i64 row, count, at;
};

inline constexpr i64 MOST_CHANNELS = 4096;  // of a tap

// Writes the index planes of the input.
void index_planes(const GemmArgs& args, const u8* x, u16* planes);

// The sums of one block of outputs for up to LOOKUP_LANES vectors; `work` is LOOKUP_WORK bytes of scratch.
void look_up(const GemmArgs& args, const u16* planes, const Vector* vectors, i64 count, i64 block, char* work, i32* sums);

// How many times as fast as the tile tables are on this processor, measured once; 0 where there are none.
double lookup_gain();

}  // namespace neurodeploy::ND_PATH
