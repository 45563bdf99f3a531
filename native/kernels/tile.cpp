// The tile of each processor path. A row's sums stay in registers over the whole fan-in; to keep GCC from spilling them,
// each height is a function of its own, fully unrolled, that writes its sums once at its end.
#include "tile.hpp"

#if defined(__AVX512VNNI__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace neurodeploy::ND_PATH {
namespace {

[[maybe_unused]] inline i32 four(const u8* x) {
    i32 axons;
    __builtin_memcpy(&axons, x, sizeof axons);
    return axons;
}

#if defined(__AVX512VNNI__)

template <int ROWS>
__attribute__((noinline)) void tile_of(const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, i32* sums) {
    __m512i total[ROWS][2];
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) total[r][0] = total[r][1] = _mm512_setzero_si512();
    for (i64 k = 0; k < k4; ++k) {
        const __m512i low = _mm512_load_si512(weights), high = _mm512_load_si512(weights + 64);
        const u8* axons = x + offsets[k];
        weights += OUTPUTS * GROUP;
#pragma GCC unroll 12
        for (int r = 0; r < ROWS; ++r) {
            const __m512i a = _mm512_set1_epi32(four(axons + r * row));
            total[r][0] = _mm512_dpbusd_epi32(total[r][0], a, low);
            total[r][1] = _mm512_dpbusd_epi32(total[r][1], a, high);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) {
        _mm512_store_si512(sums + r * OUTPUTS, total[r][0]);
        _mm512_store_si512(sums + r * OUTPUTS + 16, total[r][1]);
    }
}

#elif defined(__AVX2__)

// Sums of four products by sums of pairs in int16, exact for axons up to 127: 2 * 127 * 128 < 2^15.
struct Pairs {
    static constexpr int ROWS = 2;  // what the registers hold
    __m256i axons;

    explicit Pairs(__m256i a) : axons(a) {}
    __m256i times(__m256i weights) const {
        return _mm256_madd_epi16(_mm256_maddubs_epi16(axons, weights), _mm256_set1_epi16(1));
    }
};

// The same for axons up to 255: even and odd bytes apart, as 16-bit integers.
struct Apart {
    static constexpr int ROWS = 1;
    __m256i even, odd;

    explicit Apart(__m256i a) : even(_mm256_and_si256(a, _mm256_set1_epi16(255))), odd(_mm256_srli_epi16(a, 8)) {}
    __m256i times(__m256i weights) const {
        const __m256i evens = _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8);
        return _mm256_add_epi32(_mm256_madd_epi16(even, evens), _mm256_madd_epi16(odd, _mm256_srai_epi16(weights, 8)));
    }
};

template <int ROWS, class Axons>
__attribute__((noinline)) void rows_of(const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, i32* sums) {
    __m256i total[ROWS][4];
#pragma GCC unroll 2
    for (int r = 0; r < ROWS; ++r) total[r][0] = total[r][1] = total[r][2] = total[r][3] = _mm256_setzero_si256();
    for (i64 k = 0; k < k4; ++k) {
        const u8* axons = x + offsets[k];
        const Axons first(_mm256_set1_epi32(four(axons))), last(_mm256_set1_epi32(four(axons + (ROWS - 1) * row)));
#pragma GCC unroll 4
        for (int o = 0; o < 4; ++o) {
            const __m256i w = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights) + o);
            total[0][o] = _mm256_add_epi32(total[0][o], first.times(w));
            if constexpr (ROWS > 1) total[1][o] = _mm256_add_epi32(total[1][o], last.times(w));
        }
        weights += OUTPUTS * GROUP;
    }
#pragma GCC unroll 2
    for (int r = 0; r < ROWS; ++r) {
#pragma GCC unroll 4
        for (int o = 0; o < 4; ++o) {
            _mm256_store_si256(reinterpret_cast<__m256i*>(sums + r * OUTPUTS) + o, total[r][o]);
        }
    }
}

template <class Axons>
void tile_of(i64 rows, const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, i32* sums) {
    i64 r = 0;
    for (constexpr int n = Axons::ROWS; r + n <= rows; r += n) {
        rows_of<n, Axons>(x + r * row, row, offsets, k4, weights, sums + r * OUTPUTS);
    }
    if (r < rows) rows_of<1, Axons>(x + r * row, row, offsets, k4, weights, sums + r * OUTPUTS);
}

#endif

}  // namespace

#if defined(__AVX512VNNI__)

void tile(i64 rows, const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, bool, i32* sums) {
    using Tile = void (*)(const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, i32* sums);
    static constexpr Tile TILES[TILE_ROWS] = {tile_of<1>, tile_of<2>, tile_of<3>, tile_of<4>,  tile_of<5>,  tile_of<6>,
                                              tile_of<7>, tile_of<8>, tile_of<9>, tile_of<10>, tile_of<11>, tile_of<12>};
    TILES[rows - 1](x, row, offsets, k4, weights, sums);
}

#elif defined(__AVX2__)

void tile(i64 rows, const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, bool small, i32* sums) {
    if (small) return tile_of<Pairs>(rows, x, row, offsets, k4, weights, sums);
    tile_of<Apart>(rows, x, row, offsets, k4, weights, sums);
}

#else

void tile(i64 rows, const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, bool, i32* sums) {
    for (i64 r = 0; r < rows; ++r) {
        u32 total[OUTPUTS] = {};
        for (i64 k = 0; k < k4; ++k) {
            const u8* axons = x + r * row + offsets[k];
            const i8* w = weights + k * OUTPUTS * GROUP;
            if ((axons[0] | axons[1] | axons[2] | axons[3]) == 0) continue;
            for (i64 o = 0; o < OUTPUTS; ++o) {
                for (i64 i = 0; i < GROUP; ++i) total[o] += u32(axons[i] * w[GROUP * o + i]);
            }
        }
        for (i64 o = 0; o < OUTPUTS; ++o) sums[r * OUTPUTS + o] = i32(total[o]);
    }
}

#endif

}  // namespace neurodeploy::ND_PATH
