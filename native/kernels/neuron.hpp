// One time step of a neuron in int32; sums modulo 2^32, exact because the interval proof bounds the result.
#pragma once
#include "kernels.hpp"

#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

namespace neurodeploy::ND_PATH {

// trunc0(v / 2)
struct Half {
    static inline i32 kept(i32 v, const Neuron&) { return (v + (v < 0)) >> 1; }
#if defined(__AVX512BW__)
    static inline __m512i kept(__m512i v, const Neuron&) {
        return _mm512_srai_epi32(_mm512_add_epi32(v, _mm512_srli_epi32(v, 31)), 1);
    }
#endif
};

// trunc0(v keep / 2^decay), keep <= 2^decay, |v| < 2^31; in two parts, so that no product leaves 31 bits
struct Scaled {
    static inline i32 kept(i32 v, const Neuron& neuron) {
        const i32 size = v < 0 ? -v : v, low = size & ((1 << neuron.decay) - 1);
        const i32 part = (size >> neuron.decay) * neuron.keep + (low * neuron.keep >> neuron.decay);
        return v < 0 ? -part : part;
    }
#if defined(__AVX512BW__)
    static inline __m512i kept(__m512i v, const Neuron& neuron) {
        const __m128i decay = _mm_cvtsi32_si128(neuron.decay);
        const __m512i size = _mm512_abs_epi32(v), keep = _mm512_set1_epi32(neuron.keep);
        const __m512i low = _mm512_and_si512(size, _mm512_set1_epi32((1 << neuron.decay) - 1));
        const __m512i part = _mm512_add_epi32(_mm512_mullo_epi32(_mm512_srl_epi32(size, decay), keep),
                                              _mm512_srl_epi32(_mm512_mullo_epi32(low, keep), decay));
        return _mm512_mask_sub_epi32(part, _mm512_movepi32_mask(v), _mm512_setzero_si512(), part);
    }
#endif
};

template <class Decay>
static inline i32 charged(i32 v, i32 current, i32 bias, const Neuron& neuron) {
    return i32(u32(Decay::kept(v, neuron)) + (u32(current) << neuron.shift) + u32(bias));
}

static inline bool is_half(const Neuron& neuron) { return 2 * neuron.keep == 1 << neuron.decay; }

}  // namespace neurodeploy::ND_PATH
