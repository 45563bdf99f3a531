// Attention products of two activations: b is packed like weights for the tile, which takes them as signed bytes. Where
// b exceeds 127, b - 128 is packed, and 128 times the sum of each row of a is added.
#include "tile.hpp"

namespace neurodeploy::ND_PATH {
namespace {

template <class Y>
void plain(const MatmulArgs& args, const i32* a, const i32* b, Y* y) {
    for (i64 i = 0; i < args.n; ++i) {
        for (i64 j = 0; j < args.m; ++j) {
            u32 total = 0;
            for (i64 k = 0; k < args.k; ++k) {
                total += u32(a[i * args.an + k * args.ak]) * u32(b[k * args.bk + j * args.bm]);
            }
            y[i * args.yn + j * args.ym] = Y(total);
        }
    }
}

inline i64 groups(const MatmulArgs& args) { return (args.k + GROUP - 1) / GROUP; }

// One operand as the tile reads it: [k4][lanes][4], four k side by side, zeros beyond the last k and lane.
// Element (k, lane) lies at x + k * by_k + lane * by_lane.
void interleave(const u8* x, i64 k, i64 by_k, i64 lanes, i64 by_lane, i64 width, u8* to) {
    for (i64 first = 0; first < k; first += GROUP, to += width * GROUP) {
        const u8* from = x + first * by_k;
        if (k - first >= GROUP && by_lane == 1) {
            const u8 *b = from + by_k, *c = b + by_k, *d = c + by_k;
            for (i64 i = 0; i < lanes; ++i) {
                const u32 four = u32(from[i]) | u32(b[i]) << 8 | u32(c[i]) << 16 | u32(d[i]) << 24;
                __builtin_memcpy(to + i * GROUP, &four, GROUP);
            }
        } else if (k - first >= GROUP && by_k == 1) {
            for (i64 i = 0; i < lanes; ++i) __builtin_memcpy(to + i * GROUP, from + i * by_lane, GROUP);
        } else {
            for (i64 i = 0; i < lanes; ++i) {
                for (i64 j = 0; j < GROUP; ++j) {
                    to[i * GROUP + j] = first + j < k ? from[j * by_k + i * by_lane] : u8(0);
                }
            }
        }
        for (i64 i = lanes * GROUP; i < width * GROUP; ++i) to[i] = 0;
    }
}

// Scratch: sums, the packed b (one block), the packed a, offsets.
struct Scratch {
    i32* sums;
    u8 *weights, *rows;
    i32 *offsets, *row_sums;

    Scratch(const MatmulArgs& args, char* base) {
        const i64 k4 = groups(args);
        sums = reinterpret_cast<i32*>(base);
        weights = reinterpret_cast<u8*>(sums + STRIP_ROWS * OUTPUTS);
        rows = weights + k4 * OUTPUTS * GROUP;
        offsets = reinterpret_cast<i32*>(rows + k4 * args.n * GROUP);
        row_sums = offsets + k4;
        for (i64 k = 0; k < k4; ++k) offsets[k] = i32(k * args.n * GROUP);
    }
};

// 128 times the sum of each row of the packed a.
void sum_rows(const MatmulArgs& args, const u8* rows, i32* sums) {
    for (i64 i = 0; i < args.n; ++i) sums[i] = 0;
    for (i64 k = 0; k < groups(args); ++k) {
        for (i64 i = 0; i < args.n; ++i, rows += GROUP) {
            sums[i] += 128 * (i32(rows[0]) + i32(rows[1]) + i32(rows[2]) + i32(rows[3]));
        }
    }
}

template <class Y>
void tiled(const MatmulArgs& args, const Scratch& s, const u8* a, const u8* b, Y* y) {
    interleave(a, args.k, args.ak, args.n, args.an, args.n, s.rows);
    if (args.large) sum_rows(args, s.rows, s.row_sums);
    for (i64 first = 0; first < args.m; first += OUTPUTS) {
        const i64 width = least(OUTPUTS, args.m - first);
        interleave(b + first * args.bm, args.k, args.bk, width, args.bm, OUTPUTS, s.weights);
        if (args.large) {
            for (i64 i = 0; i < groups(args) * OUTPUTS * GROUP; ++i) s.weights[i] ^= 0x80;
        }
        const i8* weights = reinterpret_cast<const i8*>(s.weights);
        for (i64 i = 0; i < args.n; i += STRIP_ROWS) {
            const i64 count = least(STRIP_ROWS, args.n - i);
            tiles(count, s.rows + i * GROUP, GROUP, s.offsets, groups(args), weights, args.small, s.sums);
            for (i64 r = 0; r < count; ++r) {
                Y* out = y + (i + r) * args.yn + first * args.ym;
                const i32* sums = s.sums + r * OUTPUTS;
                const i32 more = args.large ? s.row_sums[i + r] : 0;
                if (args.ym == 1) {
                    for (i64 o = 0; o < width; ++o) out[o] = Y(sums[o] + more);
                } else {
                    for (i64 o = 0; o < width; ++o) out[o * args.ym] = Y(sums[o] + more);
                }
            }
        }
    }
}

template <class X, class Y>
void run(const MatmulArgs& args, Spaces spaces, i64 part, i64 parts) {
    const X *a = at<X>(spaces, args.a), *b = at<X>(spaces, args.b);
    Y* y = at<Y>(spaces, args.y);
    const int inner = args.loop.axes - 1;
    i64 step[3] = {};
    for (int i = 0; i < 3 && inner >= 0; ++i) step[i] = args.loop.stride[i][inner];
    for_each_line(args.loop, part, parts, [&](i64 at_a, i64 at_b, i64 at_y, i64 n) {
        for (i64 i = 0; i < n; ++i) {
            const X *one = a + at_a + i * step[0], *other = b + at_b + i * step[1];
            if constexpr (sizeof(X) == 1) {
                tiled(args, Scratch(args, spaces[SCRATCH]), one, other, y + at_y + i * step[2]);
            } else {
                plain(args, one, other, y + at_y + i * step[2]);
            }
        }
    });
}

}  // namespace

void matmul(const MatmulArgs& args, Spaces spaces, i64 part, i64 parts) {
    if (args.a.type == Type::u8 && args.y.type == Type::u8) return run<u8, u8>(args, spaces, part, parts);
    if (args.a.type == Type::u8) return run<u8, i32>(args, spaces, part, parts);
    if (args.y.type == Type::u8) return run<i32, u8>(args, spaces, part, parts);
    run<i32, i32>(args, spaces, part, parts);
}

}  // namespace neurodeploy::ND_PATH
