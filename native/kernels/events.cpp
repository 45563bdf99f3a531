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

// 64 sums in int16, of at most SEGMENT columns; two columns at a time. Eight sums that lie together in `part` belong to
// eight neighbouring outputs, from ORDER[i] on.
#if defined(__AVX512BW__)

struct Sums {
    static constexpr int ORDER[8] = {0, 16, 32, 48, 8, 24, 40, 56};
    __m512i part[2];

    Sums() { part[0] = part[1] = _mm512_setzero_si512(); }
    void add(__m512i a, __m512i b) {
        const __m512i one = _mm512_set1_epi8(1);
        part[0] = _mm512_add_epi16(part[0], _mm512_maddubs_epi16(one, _mm512_unpacklo_epi8(a, b)));
        part[1] = _mm512_add_epi16(part[1], _mm512_maddubs_epi16(one, _mm512_unpackhi_epi8(a, b)));
    }
    void add(const i8* a, const i8* b) { add(_mm512_load_si512(a), _mm512_load_si512(b)); }
    void add(const i8* a) { add(_mm512_load_si512(a), _mm512_setzero_si512()); }
};

#elif defined(__AVX2__)

struct Sums {
    static constexpr int ORDER[8] = {0, 16, 8, 24, 32, 48, 40, 56};
    __m256i part[4];

    Sums() { part[0] = part[1] = part[2] = part[3] = _mm256_setzero_si256(); }
    void add(__m256i a, __m256i b, int i) {
        const __m256i one = _mm256_set1_epi8(1);
        part[2 * i] = _mm256_add_epi16(part[2 * i], _mm256_maddubs_epi16(one, _mm256_unpacklo_epi8(a, b)));
        part[2 * i + 1] = _mm256_add_epi16(part[2 * i + 1], _mm256_maddubs_epi16(one, _mm256_unpackhi_epi8(a, b)));
    }
    static __m256i at(const i8* column, int i) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(column) + i); }
    void add(const i8* a, const i8* b) {
        add(at(a, 0), at(b, 0), 0);
        add(at(a, 1), at(b, 1), 1);
    }
    void add(const i8* a) {
        add(at(a, 0), _mm256_setzero_si256(), 0);
        add(at(a, 1), _mm256_setzero_si256(), 1);
    }
};

#else

struct Sums {
    static constexpr int ORDER[8] = {0, 8, 16, 24, 32, 40, 48, 56};
    std::int16_t part[WIDE];

    Sums() {
        for (i64 o = 0; o < WIDE; ++o) part[o] = 0;
    }
    void add(const i8* a) {
        for (i64 o = 0; o < WIDE; ++o) part[o] = std::int16_t(part[o] + a[o]);
    }
    void add(const i8* a, const i8* b) {
        for (i64 o = 0; o < WIDE; ++o) part[o] = std::int16_t(part[o] + a[o] + b[o]);
    }
};

#endif

// Adds the int16 sums to int32 ones, or puts them there.
inline void widen(const Sums& sums, bool more, i32* low, i32* high) {
    alignas(64) std::int16_t narrow[WIDE];
    __builtin_memcpy(narrow, sums.part, sizeof narrow);
    for (int i = 0; i < 8; ++i) {
        const int first = Sums::ORDER[i];
        i32* to = first < OUTPUTS ? low + first : high + first - OUTPUTS;
        for (int o = 0; o < 8; ++o) to[o] = more ? to[o] + narrow[8 * i + o] : narrow[8 * i + o];
    }
}

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
    i64 first = 0;
    do {
        const i64 last = least(count, first + SEGMENT);
        Sums sums;
        i64 i = first;
        for (; i + 2 <= last; i += 2) sums.add(columns + fired[i] * WIDE, columns + fired[i + 1] * WIDE);
        if (i < last) sums.add(columns + fired[i] * WIDE);
        widen(sums, first > 0, low, high);
        first = last;
    } while (first < count);
}

}  // namespace neurodeploy::ND_PATH
