// Sums of axons by tables: six axons that lie side by side choose one of the 64 sums that their weights can make if each
// of them fired once or not at all. Of counts they take the lowest bit; the columns of those above 1 are added.
//
// A lane is a row of the product. An index plane holds, for each row of the input, which of six neighbouring channels
// fired, as a number 0..63; a convolution's taps read the same planes, shifted by rows. Where vectors of 32 rows do not
// fill the runs (lines of the image), taps that lie whole runs apart are a class with planes of its own, in which rows lie
// without gaps between runs. Sums are int16 over segments that cannot overflow.
#pragma once
#include "tile.hpp"

namespace neurodeploy::ND_PATH {

using u16 = std::uint16_t;

// Up to 32 neighbouring rows of the index planes from `row` on, whose sums go to sums[at * OUTPUTS] and after.
struct Vector {
    i64 row, count, at;
};

inline constexpr i64 MOST_CHANNELS = 4096;  // of a tap

// Writes the index planes of the input.
void index_planes(const GemmArgs& args, const u8* x, u16* planes);

// What tables leave of counts: an axon that fired 2 n or 2 n + 1 times stands n times in the list of its row.
struct Left {
    i32* starts;  // [rows + 1] of each row's list, and where the last one ends
    u16 *lists, *row;  // row: scratch for what one row of the product finds, tap by tap
};

// Lists what is left of the input; false where that is so much that the tile is faster.
bool list_left(const GemmArgs& args, const u8* x, const Left& left);

// Adds what is left to the sums of two blocks of outputs (`high`: of the second, if there is one).
void add_left(const GemmArgs& args, const Left& left, const Vector* vectors, i64 count, i64 block, i32* low, i32* high);

// The sums of one block of outputs for up to LOOKUP_LANES vectors; `work` is LOOKUP_WORK bytes of scratch.
void look_up(const GemmArgs& args, const u16* planes, const Vector* vectors, i64 count, i64 block, char* work, i32* sums);

// How many times as fast as the tile tables are on this processor, measured once; 0 where there are none.
double lookup_gain();

}  // namespace neurodeploy::ND_PATH
