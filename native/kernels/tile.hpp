// The tile that all matrix products are made of: up to 12 rows of axons times 32 outputs, sums in registers.
//
// Weights int8 [blocks][k4][32][4]: a block is 32 outputs, a group k is four axons that lie side by side in memory.
// sums int32 [rows][32]; rows are `row` bytes apart, the four axons of group k at x + offsets[k].
#pragma once
#include "kernels.hpp"

namespace neurodeploy {

inline constexpr i64 OUTPUTS = 32;  // a block
inline constexpr i64 TILE_ROWS = 12;
inline constexpr i64 GROUP = 4;
inline constexpr i64 WIDE = 64;  // outputs of a column of the event path
inline constexpr i64 STRIP_ROWS = 48;  // sums that wait for their neurons, in L1
inline constexpr i64 EVENT_ROWS = 800;  // rows that are listed together for the event path
inline constexpr i64 LANES = 32;         // rows of a vector of the lookup path
inline constexpr i64 AXONS = 6;          // that index a table
inline constexpr i64 LOOKUP_LANES = 56;  // vectors that are summed while a table lies in the first cache
inline constexpr i64 LOOKUP_WORK = LANES * 4 * 64 * 2 + LOOKUP_LANES * 16 * LANES * 2;  // bytes: tables, int16 sums

namespace ND_PATH {

// small: no axon exceeds 127.
void tile(i64 rows, const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, bool small, i32* sums);

// One row of axons in int32; sums modulo 2^32, exact wherever the result fits.
static inline void wide_row(const u8* x, const i32* offsets, i64 k4, const i8* weights, i32* sums) {
    u32 total[OUTPUTS] = {};
    for (i64 k = 0; k < k4; ++k) {
        const i32* axons = reinterpret_cast<const i32*>(x + offsets[k]);
        const i8* w = weights + k * OUTPUTS * GROUP;
        for (i64 o = 0; o < OUTPUTS; ++o) {
            for (i64 i = 0; i < GROUP; ++i) total[o] += u32(axons[i]) * u32(i32(w[o * GROUP + i]));
        }
    }
    for (i64 o = 0; o < OUTPUTS; ++o) sums[o] = i32(total[o]);
}

// How many axons of a row fired; which, as indices into its columns (returns how many).
i64 count_fired(const u8* x, const i32* offsets, i64 k4, i64 tap);
i64 list_fired(const u8* x, const i32* offsets, i64 k4, i64 tap, std::uint16_t* fired);

// The sum of the columns of the axons that fired: of the first 32 outputs to `low`, of the other 32 to `high`.
void add_columns(const std::uint16_t* fired, i64 count, const i8* columns, i32* low, i32* high);

// The share of axons that fire above which the tile is faster than columns.
extern const double MOST_FIRED;

// Lines of a convolution before a pooling whose sums are looked up together.
static inline i64 lookup_lines(const GemmArgs& args) {
    return most(i64(1), LOOKUP_LANES / ((args.positions * args.rows + LANES - 1) / LANES));
}

// Rows in tiles of nearly equal height.
static inline void tiles(i64 rows, const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, bool small,
                         i32* sums) {
    const i64 count = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (i64 i = 0; i < count; ++i) {
        const i64 first = rows * i / count, last = rows * (i + 1) / count;
        tile(last - first, x + first * row, row, offsets, k4, weights, small, sums + first * OUTPUTS);
    }
}

}  // namespace ND_PATH
}  // namespace neurodeploy
