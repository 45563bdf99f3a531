// The tile of each processor path. A row's sums stay in registers over the whole fan-in; to keep GCC from spilling them,
// each height is a function of its own, fully unrolled, that writes its sums once at its end.
#include "tile.hpp"

#if defined(__AVX512VNNI__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace neurodeploy::ND_PATH {
namespace {

using Tile = void (*)(const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, i32* sums);

#if defined(__AVX512VNNI__)

inline i32 four(const u8* x) {
    i32 axons;
    __builtin_memcpy(&axons, x, sizeof axons);
    return axons;
}

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

inline i32 four(const u8* x) {
    i32 axons;
    __builtin_memcpy(&axons, x, sizeof axons);
    return axons;
}

// Sums of four products, exact for axons up to 255: even and odd bytes apart, as 16-bit integers.
inline __m256i products(__m256i even_axons, __m256i odd_axons, __m256i weights) {
    const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8), odd = _mm256_srai_epi16(weights, 8);
    return _mm256_add_epi32(_mm256_madd_epi16(even_axons, even), _mm256_madd_epi16(odd_axons, odd));
}

template <int ROWS>
__attribute__((noinline)) void rows_of(const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, i32* sums) {
    __m256i total[ROWS][4];
#pragma GCC unroll 2
    for (int r = 0; r < ROWS; ++r) total[r][0] = total[r][1] = total[r][2] = total[r][3] = _mm256_setzero_si256();
    for (i64 k = 0; k < k4; ++k) {
        const u8* axons = x + offsets[k];
#pragma GCC unroll 2
        for (int r = 0; r < ROWS; ++r) {
            const __m256i a = _mm256_set1_epi32(four(axons + r * row));
            const __m256i even = _mm256_and_si256(a, _mm256_set1_epi16(255)), odd = _mm256_srli_epi16(a, 8);
#pragma GCC unroll 4
            for (int o = 0; o < 4; ++o) {
                const __m256i w = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights) + o);
                total[r][o] = _mm256_add_epi32(total[r][o], products(even, odd, w));
            }
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

template <int ROWS>
void tile_of(const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, i32* sums) {
    for (int r = 0; r + 2 <= ROWS; r += 2) rows_of<2>(x + r * row, row, offsets, k4, weights, sums + r * OUTPUTS);
    constexpr int last = ROWS - 1;
    if (ROWS % 2) rows_of<1>(x + last * row, row, offsets, k4, weights, sums + last * OUTPUTS);
}

#else

template <int ROWS>
void tile_of(const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, i32* sums) {
    for (int r = 0; r < ROWS; ++r) {
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

constexpr Tile TILES[TILE_ROWS] = {tile_of<1>, tile_of<2>, tile_of<3>, tile_of<4>,  tile_of<5>,  tile_of<6>,
                                   tile_of<7>, tile_of<8>, tile_of<9>, tile_of<10>, tile_of<11>, tile_of<12>};

}  // namespace

void tile(i64 rows, const u8* x, i64 row, const i32* offsets, i64 k4, const i8* weights, i32* sums) {
    TILES[rows - 1](x, row, offsets, k4, weights, sums);
}

}  // namespace neurodeploy::ND_PATH
