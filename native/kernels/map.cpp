// Element-wise work on strided arrays: copies, sums, masks, maxima, and the encoding of pixels.
#include <cmath>

#include "kernels.hpp"

namespace neurodeploy::ND_PATH {
namespace {

template <Op op, class Y>
inline Y apply(Y y, Y x) {
    if constexpr (op == Op::set) return x;
    if constexpr (op == Op::add) return Y(u64(y) + u64(x));  // modulo 2^n: exact wherever the result fits
    if constexpr (op == Op::both) return Y(y & x);
    if constexpr (op == Op::without) return Y(y & ~x);
    if constexpr (op == Op::max) return y > x ? y : x;
}

template <Op op, class X, class Y>
void line(Y* __restrict y, const X* __restrict x, i64 sy, i64 sx, i64 n) {
    if (sy == 1 && sx == 1) {
        for (i64 i = 0; i < n; ++i) y[i] = apply<op>(y[i], Y(x[i]));
    } else if (sy == 1 && sx == 0) {
        const Y value = Y(*x);
        for (i64 i = 0; i < n; ++i) y[i] = apply<op>(y[i], value);
    } else if (sy == 0) {
        Y value = *y;
        for (i64 i = 0; i < n; ++i) value = apply<op>(value, Y(x[i * sx]));
        *y = value;
    } else {
        for (i64 i = 0; i < n; ++i) y[i * sy] = apply<op>(y[i * sy], Y(x[i * sx]));
    }
}

template <Op op, class X, class Y>
void run(const MapArgs& args, Spaces spaces, i64 part, i64 parts) {
    const X* x = at<X>(spaces, args.x);
    Y* y = at<Y>(spaces, args.y);
    const int inner = args.loop.axes - 1;
    const i64 sx = inner < 0 ? 1 : args.loop.stride[0][inner], sy = inner < 0 ? 1 : args.loop.stride[1][inner];
    for_each_line(args.loop, part, parts,
                  [&](i64 at_x, i64 at_y, i64, i64 n) { line<op>(y + at_y, x + at_x, sy, sx, n); });
}

template <Op op>
void by_type(const MapArgs& args, Spaces spaces, i64 part, i64 parts) {
    const bool from_bytes = args.x.type == Type::u8;
    if (args.y.type == Type::u8) {
        return from_bytes ? run<op, u8, u8>(args, spaces, part, parts) : run<op, i32, u8>(args, spaces, part, parts);
    }
    if (args.y.type == Type::i32) {
        return from_bytes ? run<op, u8, i32>(args, spaces, part, parts) : run<op, i32, i32>(args, spaces, part, parts);
    }
    if (args.x.type == Type::i64) return run<op, i64, i64>(args, spaces, part, parts);
    return from_bytes ? run<op, u8, i64>(args, spaces, part, parts) : run<op, i32, i64>(args, spaces, part, parts);
}

template <class Y>
void encode_as(const EncodeArgs& args, Spaces spaces, i64 part, i64 parts) {
    const float* x = at<float>(spaces, args.x);
    Y* y = at<Y>(spaces, args.y);
    const int inner = args.loop.axes - 1;
    const i64 sx = inner < 0 ? 1 : args.loop.stride[0][inner], sy = inner < 0 ? 1 : args.loop.stride[1][inner];
    for_each_line(args.loop, part, parts, [&](i64 at_x, i64 at_y, i64, i64 n) {
        for (i64 i = 0; i < n; ++i) {
            const float code = std::nearbyint(x[at_x + i * sx] / args.step);
            y[at_y + i * sy] = Y(code < args.lo ? args.lo : code > args.hi ? args.hi : code);
        }
    });
}

}  // namespace

void map(const MapArgs& args, Spaces spaces, i64 part, i64 parts) {
    if (!args.split) {
        if (part > 0) return;
        parts = 1;
    }
    switch (args.op) {  // a maximum has the type of what it is of
        case Op::set: return by_type<Op::set>(args, spaces, part, parts);
        case Op::add: return by_type<Op::add>(args, spaces, part, parts);
        case Op::both: return by_type<Op::both>(args, spaces, part, parts);
        case Op::without: return by_type<Op::without>(args, spaces, part, parts);
        case Op::max: break;
    }
    if (args.y.type == Type::u8) return run<Op::max, u8, u8>(args, spaces, part, parts);
    run<Op::max, i32, i32>(args, spaces, part, parts);
}

void encode(const EncodeArgs& args, Spaces spaces, i64 part, i64 parts) {
    if (args.y.type == Type::u8) return encode_as<u8>(args, spaces, part, parts);
    encode_as<i32>(args, spaces, part, parts);
}

}  // namespace neurodeploy::ND_PATH
