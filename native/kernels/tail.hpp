// What becomes of the sums of a block of outputs: they are written, or they are the input of 32 neurons.
#pragma once
#include "neuron.hpp"
#include "tile.hpp"

namespace neurodeploy::ND_PATH {

static inline i64 width(const GemmArgs& args, i64 block) { return least(OUTPUTS, args.outputs - block * OUTPUTS); }

static inline void write(const GemmArgs& args, const i32* sums, i64 count, i64 block, i32* y) {
    const i32* bias = args.bias + block * OUTPUTS;
    const i64 n = width(args, block);
    for (i64 p = 0; p < count; ++p) {
        for (i64 t = 0; t < args.rows; ++t) {
            i32* out = y + p * args.position_y + t * args.step_y;
            for (i64 o = 0; o < n; ++o) out[o] = i32(u32(sums[o]) + u32(bias[o]));
            sums += OUTPUTS;
        }
    }
}

// The T steps of 32 neurons at one position; sums of one step `next` elements after those of the step before.
#if defined(__AVX512BW__)

template <class Decay>
static inline void fire(const GemmArgs& args, const i32* sums, i64 next, i64 block, u8* y, i32* kept) {
    const i64 n = width(args, block);
    const __mmask32 lanes = __mmask32(~u32(0) >> (OUTPUTS - n));
    const Neuron neuron = args.neuron;
    const __m128i shift = _mm_cvtsi32_si128(neuron.shift);
    __m512i v[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()}, bias[2], threshold[2];
    for (int i = 0; i < 2; ++i) {
        bias[i] = _mm512_loadu_si512(args.bias + block * OUTPUTS + 16 * i);
        threshold[i] = _mm512_loadu_si512(args.thresholds + block * OUTPUTS + 16 * i);
    }
    for (i64 t = 0; t < args.steps; ++t) {
        __mmask32 fires = 0;
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
            const __m512i current = _mm512_sll_epi32(_mm512_loadu_si512(sums + t * next + 16 * i), shift);
            v[i] = _mm512_add_epi32(_mm512_add_epi32(Decay::kept(v[i], neuron), current), bias[i]);
            const __mmask16 over = _mm512_cmpgt_epi32_mask(v[i], threshold[i]);
            v[i] = _mm512_maskz_mov_epi32(__mmask16(~over), v[i]);
            fires |= __mmask32(over) << 16 * i;
        }
        const __m256i spikes = _mm256_maskz_set1_epi8(fires, 1);
        u8* out = y + t * args.step_y;
        if (n == OUTPUTS) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), spikes);
        } else {
            _mm256_mask_storeu_epi8(out, lanes, spikes);
        }
        if (kept) {
            _mm512_mask_storeu_epi32(kept + t * args.step_y, __mmask16(lanes), v[0]);
            _mm512_mask_storeu_epi32(kept + t * args.step_y + 16, __mmask16(lanes >> 16), v[1]);
        }
    }
}

#else

template <class Decay>
static inline void fire(const GemmArgs& args, const i32* __restrict sums, i64 next, i64 block, u8* __restrict y, i32* kept) {
    alignas(64) i32 v[OUTPUTS] = {};
    alignas(64) u8 spikes[OUTPUTS];
    const i32* bias = args.bias + block * OUTPUTS;
    const i32* thresholds = args.thresholds + block * OUTPUTS;
    const Neuron neuron = args.neuron;
    const i64 n = width(args, block);
    for (i64 t = 0; t < args.steps; ++t) {
        for (i64 o = 0; o < OUTPUTS; ++o) {
            v[o] = charged<Decay>(v[o], sums[t * next + o], bias[o], neuron);
            const bool fires = v[o] > thresholds[o];
            spikes[o] = fires;
            v[o] = fires ? 0 : v[o];
        }
        for (i64 o = 0; o < n; ++o) y[t * args.step_y + o] = spikes[o];
        if (kept) {
            for (i64 o = 0; o < n; ++o) kept[t * args.step_y + o] = v[o];
        }
    }
}

#endif

static inline i64 next_step(const GemmArgs& args) { return args.rows == 1 ? 0 : OUTPUTS; }

template <class Decay>
static inline void fire_all(const GemmArgs& args, const i32* sums, i64 count, i64 block, u8* y, i32* v) {
    for (i64 p = 0; p < count; ++p) {
        fire<Decay>(args, sums + p * args.rows * OUTPUTS, next_step(args), block, y + p * args.position_y,
                    v ? v + p * args.position_y : v);
    }
}

}  // namespace neurodeploy::ND_PATH
