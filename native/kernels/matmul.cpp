// Attention products of two activations. Where one side fits a signed byte, it is packed like weights for the tile.
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

// Scratch: the offsets, the packed b (one block), rows of a side by side, sums.
struct Scratch {
    i32* offsets;
    i8* weights;
    u8* rows;
    i32* sums;
};

inline i64 groups(const MatmulArgs& args) { return (args.k + GROUP - 1) / GROUP; }

Scratch scratch(const MatmulArgs& args, Spaces spaces) {
    char* base = spaces[SCRATCH];
    const i64 k4 = groups(args), k4_up = (k4 + 15) / 16 * 16;
    Scratch s;
    s.sums = reinterpret_cast<i32*>(base);
    s.weights = reinterpret_cast<i8*>(base + STRIP_ROWS * OUTPUTS * sizeof(i32));
    s.offsets = reinterpret_cast<i32*>(s.weights + k4 * OUTPUTS * GROUP);
    s.rows = reinterpret_cast<u8*>(s.offsets + k4_up);
    for (i64 k = 0; k < k4; ++k) s.offsets[k] = i32(k * GROUP);
    return s;
}

void pack_block(const MatmulArgs& args, const u8* b, i64 first, i8* weights) {
    const i64 width = least(OUTPUTS, args.m - first), k4 = groups(args);
    for (i64 i = 0; i < k4 * OUTPUTS * GROUP; ++i) weights[i] = 0;
    for (i64 k = 0; k < args.k; ++k) {
        i8* to = weights + k / GROUP * OUTPUTS * GROUP + k % GROUP;
        const u8* from = b + k * args.bk + first * args.bm;
        for (i64 o = 0; o < width; ++o) to[o * GROUP] = i8(from[o * args.bm]);
    }
}

void pack_rows(const MatmulArgs& args, const u8* a, u8* rows) {
    const i64 row = groups(args) * GROUP;
    for (i64 i = 0; i < args.n; ++i) {
        for (i64 k = 0; k < args.k; ++k) rows[i * row + k] = a[i * args.an + k * args.ak];
        for (i64 k = args.k; k < row; ++k) rows[i * row + k] = 0;
    }
}

template <class Y>
void tiled(const MatmulArgs& args, const Scratch& s, const u8* a, const u8* b, Y* y) {
    const i64 k4 = groups(args), row = k4 * GROUP;
    pack_rows(args, a, s.rows);
    for (i64 first = 0; first < args.m; first += OUTPUTS) {
        const i64 width = least(OUTPUTS, args.m - first);
        pack_block(args, b, first, s.weights);
        for (i64 i = 0; i < args.n; i += STRIP_ROWS) {
            const i64 count = least(STRIP_ROWS, args.n - i);
            tiles(count, s.rows + i * row, row, s.offsets, k4, s.weights, s.sums);
            for (i64 r = 0; r < count; ++r) {
                Y* out = y + (i + r) * args.yn + first * args.ym;
                for (i64 o = 0; o < width; ++o) out[o * args.ym] = Y(s.sums[r * OUTPUTS + o]);
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
                tiled(args, scratch(args, spaces), one, other, y + at_y + i * step[2]);
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
