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
// fired[count] and AHEAD more are read too, and the first is an index.
void add_columns(const std::uint16_t* fired, i64 count, const i8* columns, i32* low, i32* high);

// Adds twice that sum to what stands there.
void add_columns_twice(const std::uint16_t* fired, i64 count, const i8* columns, i32* low, i32* high);
inline constexpr i64 AHEAD = 12;  // columns are fetched so many axons before they are added

// The share of axons that fire above which the tile is faster than columns.
extern const double MOST_FIRED;

// Lines of a convolution before a pooling whose sums are looked up together.
static inline i64 lookup_lines(const GemmArgs& args) {
    return most(i64(1), LOOKUP_LANES * LANES / (args.positions * args.rows));
}

// Blocks of outputs that are looked up one after the other, before columns are added to both.
static inline i64 lookup_blocks(const GemmArgs& args) { return args.lookup.counts ? WIDE / OUTPUTS : 1; }

// Rows of sums of a block.
static inline i64 lookup_rows(const GemmArgs& args) {
    if (args.tail != Tail::pool_lif) return most(LOOKUP_LANES * LANES, args.rows);
    return (args.pool.kernel[0] + lookup_lines(args) - 1) * args.positions * args.rows;
}

// Most axons that the lists of what tables leave hold, of all rows and of one.
static inline i64 most_left(const GemmArgs& args) { return args.lookup.rows * args.tap * GROUP / 4; }
static inline i64 most_left_row(const GemmArgs& args) { return args.tap * GROUP; }

// Bytes of scratch that the lookup path takes, in whole lines; vectors may be read and written beyond a list.
static inline i64 lines_of(i64 bytes) { return (bytes + 63) / 64 * 64; }
static inline i64 plane_bytes(const GemmArgs& args) {
    return lines_of(args.lookup.classes * ((args.tap * GROUP + AXONS - 1) / AXONS) * args.lookup.plane * 2);
}
static inline i64 start_bytes(const GemmArgs& args) { return lines_of((args.lookup.rows + 1) * i64(sizeof(i32))); }
static inline i64 list_bytes(const GemmArgs& args) { return lines_of((most_left(args) + most_left_row(args)) * 2) + 64; }
static inline i64 row_bytes(const GemmArgs& args) { return lines_of(args.k4 * GROUP * 2) + 64; }
static inline i64 lookup_bytes(const GemmArgs& args) {
    const i64 left = args.lookup.counts ? start_bytes(args) + list_bytes(args) + row_bytes(args) : 0;
    const i64 sums = lookup_rows(args) * lookup_blocks(args) + (args.tail == Tail::pool_lif ? args.rows : 0);
    return plane_bytes(args) + left + LOOKUP_WORK + sums * OUTPUTS * i64(sizeof(i32));
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
