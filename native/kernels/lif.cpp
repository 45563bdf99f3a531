// LIF populations on strided arrays: all time steps of up to 64 neurons at a time, membranes in L1 or registers.
#include "neuron.hpp"

namespace neurodeploy::ND_PATH {
namespace {

constexpr i64 LANES = 64;

struct Strides {
    i64 x, y, bias;
};

// The threshold of all lanes, or of each.
struct One {
    i32 threshold;
    i32 operator[](i64) const { return threshold; }
};

struct Each {
    i32 thresholds[LANES];
    i32 operator[](i64 lane) const { return thresholds[lane]; }
};

template <class Decay, class X, class Thresholds>
void lanes(const LifArgs& args, const X* x, u8* y, i32* kept, const i32* bias, const Thresholds& thresholds, Strides by,
           i64 n) {
    i32 v[LANES] = {}, b[LANES];
    for (i64 i = 0; i < n; ++i) b[i] = bias[i * by.bias];
    const Neuron neuron = args.neuron;
    for (i64 t = 0; t < args.steps; ++t) {
        const X* in = x + t * args.step_x;
        u8* out = y + t * args.step_y;
        if (by.x == 1 && by.y == 1) {
            for (i64 i = 0; i < n; ++i) {
                v[i] = charged<Decay>(v[i], in[i], b[i], neuron);
                const bool fires = v[i] > thresholds[i];
                out[i] = fires;
                v[i] = fires ? 0 : v[i];
            }
        } else {
            for (i64 i = 0; i < n; ++i) {
                v[i] = charged<Decay>(v[i], in[i * by.x], b[i], neuron);
                const bool fires = v[i] > thresholds[i];
                out[i * by.y] = fires;
                v[i] = fires ? 0 : v[i];
            }
        }
        if (kept) {
            for (i64 i = 0; i < n; ++i) kept[t * args.step_y + i * by.y] = v[i];
        }
    }
}

template <class Decay, class X>
void run(const LifArgs& args, Spaces spaces, i64 part, i64 parts) {
    const X* x = at<X>(spaces, args.x);
    u8* y = at<u8>(spaces, args.y);
    i32* v = args.v.space == ABSENT ? nullptr : at<i32>(spaces, args.v);
    const i32* bias = at<i32>(spaces, args.bias);
    const i32* thresholds = args.thresholds.space == ABSENT ? nullptr : at<i32>(spaces, args.thresholds);
    const int inner = args.loop.axes - 1;
    Strides by = {1, 1, 0};
    if (inner >= 0) by = {args.loop.stride[0][inner], args.loop.stride[1][inner], args.loop.stride[2][inner]};
    for_each_line(args.loop, part, parts, [&](i64 at_x, i64 at_y, i64 at_bias, i64 n) {
        for (i64 i = 0; i < n; i += LANES) {
            const i64 to_y = at_y + i * by.y, to_bias = at_bias + i * by.bias, count = least(LANES, n - i);
            const auto go = [&](const auto& own) {
                lanes<Decay>(args, x + at_x + i * by.x, y + to_y, v ? v + to_y : v, bias + to_bias, own, by, count);
            };
            if (!thresholds) {
                go(One{args.neuron.threshold});
                continue;
            }
            Each own;
            for (i64 j = 0; j < count; ++j) own.thresholds[j] = thresholds[to_bias + j * by.bias];
            go(own);
        }
    });
}

template <class X>
void by_decay(const LifArgs& args, Spaces spaces, i64 part, i64 parts) {
    if (is_half(args.neuron)) return run<Half, X>(args, spaces, part, parts);
    run<Scaled, X>(args, spaces, part, parts);
}

}  // namespace

void lif(const LifArgs& args, Spaces spaces, i64 part, i64 parts) {
    if (args.x.type == Type::u8) return by_decay<u8>(args, spaces, part, parts);
    by_decay<i32>(args, spaces, part, parts);
}

}  // namespace neurodeploy::ND_PATH
