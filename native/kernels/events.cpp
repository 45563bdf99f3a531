// The event path for binary inputs: only the weights of the axons that fired are added, 64 outputs at a time.
#include "tile.hpp"

#if defined(__AVX512BW__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace neurodeploy::ND_PATH {
namespace {

using u16 = std::uint16_t;
constexpr i64 SEGMENT = 254;  // columns of int8 that int16 sums hold: 254 * 128 < 2^15

inline u64 fired_mask(const u8* x) {
#if defined(__AVX512BW__)
    const __m512i axons = _mm512_loadu_si512(x);
    return _mm512_test_epi8_mask(axons, axons);
#elif defined(__AVX2__)
    const __m256i one = _mm256_set1_epi8(1);
    const auto half = [&](const u8* at) {
        const __m256i axons = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
        return u64(u32(_mm256_movemask_epi8(_mm256_cmpeq_epi8(axons, one))));
    };
    return half(x) | half(x + 32) << 32;
#else
    u64 mask = 0;
    for (int i = 0; i < 64; i += 8) {
        u64 eight;
        __builtin_memcpy(&eight, x + i, 8);
        mask |= (eight * 0x0102040810204080u >> 56) << i;  // gathers the lowest bits of eight bytes, first to lowest
    }
    return mask;
#endif
}

inline u16* list_bits(u64 mask, i64 base, u16* to) {
    for (; mask; mask &= mask - 1) *to++ = u16(base + __builtin_ctzll(mask));
    return to;
}

// 64 sums in int16, of at most SEGMENT columns; two columns at a time. A column holds eight outputs of the first 32, eight
// of the other 32, and so on, so that pairs of its bytes lie apart by 32 outputs.
#if defined(__AVX512BW__)

struct Sums {
    __m512i low, high;

    Sums() : low(_mm512_setzero_si512()), high(low) {}
    void add(__m512i a, __m512i b) {
        const __m512i one = _mm512_set1_epi8(1);
        low = _mm512_add_epi16(low, _mm512_maddubs_epi16(one, _mm512_unpacklo_epi8(a, b)));
        high = _mm512_add_epi16(high, _mm512_maddubs_epi16(one, _mm512_unpackhi_epi8(a, b)));
    }
    void add(const u16* fired, i64 count, const i8* columns) {
        const auto fetch = [&](i64 i) { __builtin_prefetch(columns + fired[i + AHEAD] * WIDE); };
        i64 i = 0;
        for (; i + 4 <= count; i += 4) {
            fetch(i), fetch(i + 1), fetch(i + 2), fetch(i + 3);
            add(_mm512_load_si512(columns + fired[i] * WIDE), _mm512_load_si512(columns + fired[i + 1] * WIDE));
            add(_mm512_load_si512(columns + fired[i + 2] * WIDE), _mm512_load_si512(columns + fired[i + 3] * WIDE));
        }
        for (; i < count; i += 2) {  // without a branch for an odd last one
            fetch(i), fetch(i + 1);
            const __mmask64 both = i + 1 < count ? ~u64(0) : 0;
            add(_mm512_load_si512(columns + fired[i] * WIDE), _mm512_maskz_loadu_epi8(both, columns + fired[i + 1] * WIDE));
        }
    }
    template <int SHIFT>
    static void put(__m256i sums, bool more, i32* to) {
        const __m512i wide = _mm512_slli_epi32(_mm512_cvtepi16_epi32(sums), SHIFT);
        _mm512_store_si512(to, more ? _mm512_add_epi32(wide, _mm512_load_si512(to)) : wide);
    }
    template <int SHIFT>
    void widen(bool more, i32* to_low, i32* to_high) const {
        put<SHIFT>(_mm512_castsi512_si256(low), more, to_low);
        put<SHIFT>(_mm512_extracti64x4_epi64(low, 1), more, to_low + 16);
        put<SHIFT>(_mm512_castsi512_si256(high), more, to_high);
        put<SHIFT>(_mm512_extracti64x4_epi64(high, 1), more, to_high + 16);
    }
};

#else

// Adds the int16 sums to int32 ones, or puts them there; eight that lie together belong to neighbours from ORDER[i] on.
template <int SHIFT>
inline void widen_by(const int* order, const void* sums, bool more, i32* low, i32* high) {
    alignas(64) std::int16_t narrow[WIDE];
    __builtin_memcpy(narrow, sums, sizeof narrow);
    for (int i = 0; i < 8; ++i) {
        i32* to = order[i] < OUTPUTS ? low + order[i] : high + order[i] - OUTPUTS;
        for (int o = 0; o < 8; ++o) to[o] = (more ? to[o] : 0) + narrow[8 * i + o] * (1 << SHIFT);
    }
}

#if defined(__AVX2__)

struct Sums {
    static constexpr int ORDER[8] = {0, 8, 32, 40, 16, 24, 48, 56};
    __m256i part[4];

    Sums() { part[0] = part[1] = part[2] = part[3] = _mm256_setzero_si256(); }
    void add(__m256i a, __m256i b, int i) {
        const __m256i one = _mm256_set1_epi8(1);
        part[2 * i] = _mm256_add_epi16(part[2 * i], _mm256_maddubs_epi16(one, _mm256_unpacklo_epi8(a, b)));
        part[2 * i + 1] = _mm256_add_epi16(part[2 * i + 1], _mm256_maddubs_epi16(one, _mm256_unpackhi_epi8(a, b)));
    }
    static __m256i at(const i8* column, int i) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(column) + i); }
    void add(const u16* fired, i64 count, const i8* columns) {
        i64 i = 0;
        for (; i + 2 <= count; i += 2) {
            const i8 *a = columns + fired[i] * WIDE, *b = columns + fired[i + 1] * WIDE;
            add(at(a, 0), at(b, 0), 0);
            add(at(a, 1), at(b, 1), 1);
        }
        if (i == count) return;
        const i8* last = columns + fired[i] * WIDE;
        add(at(last, 0), _mm256_setzero_si256(), 0);
        add(at(last, 1), _mm256_setzero_si256(), 1);
    }
    template <int SHIFT>
    void widen(bool more, i32* low, i32* high) const { widen_by<SHIFT>(ORDER, part, more, low, high); }
};

#else

struct Sums {
    static constexpr int ORDER[8] = {0, 32, 8, 40, 16, 48, 24, 56};
    std::int16_t part[WIDE];

    Sums() {
        for (i64 o = 0; o < WIDE; ++o) part[o] = 0;
    }
    void add(const u16* fired, i64 count, const i8* columns) {
        for (i64 i = 0; i < count; ++i) {
            const i8* a = columns + fired[i] * WIDE;
            for (i64 o = 0; o < WIDE; ++o) part[o] = std::int16_t(part[o] + a[o]);
        }
    }
    template <int SHIFT>
    void widen(bool more, i32* low, i32* high) const { widen_by<SHIFT>(ORDER, part, more, low, high); }
};

#endif
#endif

// Calls f(mask, base, bits) for the axons of a row, 64 or fewer at a time.
template <class F>
inline void for_masks(const u8* x, const i32* offsets, i64 k4, i64 tap, F f) {
    for (i64 first = 0; first < k4; first += tap) {
        const u8* axons = x + offsets[first];
        const i64 n = tap * GROUP, base = first * GROUP;
        i64 i = 0;
        for (; i + 64 <= n; i += 64) f(fired_mask(axons + i), base + i);
        u64 rest = 0;
        for (i64 bit = 0; bit < n - i; ++bit) rest |= u64(axons[i + bit] != 0) << bit;
        if (n > i) f(rest, base + i);
    }
}

template <int SHIFT>
inline void add_segments(const u16* fired, i64 count, const i8* columns, bool more, i32* low, i32* high) {
    i64 first = 0;
    do {
        const i64 n = least(count - first, SEGMENT);
        Sums sums;
        sums.add(fired + first, n, columns);
        sums.widen<SHIFT>(more || first > 0, low, high);
        first += n;
    } while (first < count);
}

}  // namespace

#if defined(__AVX512BW__)
const double MOST_FIRED = 0.3;
#else
const double MOST_FIRED = 0.5;
#endif

i64 count_fired(const u8* x, const i32* offsets, i64 k4, i64 tap) {
    i64 count = 0;
    for_masks(x, offsets, k4, tap, [&](u64 mask, i64) { count += __builtin_popcountll(mask); });
    return count;
}

i64 list_fired(const u8* x, const i32* offsets, i64 k4, i64 tap, u16* fired) {
    u16* to = fired;
    for_masks(x, offsets, k4, tap, [&](u64 mask, i64 base) { to = list_bits(mask, base, to); });
    return to - fired;
}

void add_columns(const u16* fired, i64 count, const i8* columns, i32* low, i32* high) {
    add_segments<0>(fired, count, columns, false, low, high);
}

void add_columns_twice(const u16* fired, i64 count, const i8* columns, i32* low, i32* high) {
    add_segments<1>(fired, count, columns, true, low, high);
}

}  // namespace neurodeploy::ND_PATH
