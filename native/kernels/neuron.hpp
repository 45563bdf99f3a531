// One time step of a neuron in int32; sums modulo 2^32, exact because the interval proof bounds the result.
#pragma once
#include "kernels.hpp"

namespace neurodeploy::ND_PATH {

// trunc0(v / 2)
struct Half {
    static inline i32 kept(i32 v, const Neuron&) { return (v + (v < 0)) >> 1; }
};

// trunc0(v keep / 2^decay), keep <= 2^decay, |v| < 2^31; in two parts, so that no product leaves 31 bits
struct Scaled {
    static inline i32 kept(i32 v, const Neuron& neuron) {
        const i32 size = v < 0 ? -v : v, low = size & ((1 << neuron.decay) - 1);
        const i32 part = (size >> neuron.decay) * neuron.keep + (low * neuron.keep >> neuron.decay);
        return v < 0 ? -part : part;
    }
};

template <class Decay>
static inline i32 charged(i32 v, i32 current, i32 bias, const Neuron& neuron) {
    return i32(u32(Decay::kept(v, neuron)) + (u32(current) << neuron.shift) + u32(bias));
}

static inline bool is_half(const Neuron& neuron) { return 2 * neuron.keep == 1 << neuron.decay; }

}  // namespace neurodeploy::ND_PATH
