// What the planner tells the kernels: plain data, the same on every processor path.
#pragma once
#include <cstdint>

namespace neurodeploy {

using i8 = std::int8_t;
using u8 = std::uint8_t;
using i32 = std::int32_t;
using u32 = std::uint32_t;
using i64 = std::int64_t;
using u64 = std::uint64_t;

enum class Type : i32 { u8, i32, i64, f32 };  // i64: logits alone

// Memory that a kernel may touch: of a sample (arena, image, outputs), of the program, of a thread.
enum Space : i32 { ABSENT = -1, ARENA, CONSTANT, IMAGE, SCRATCH, OUTPUT };

struct Ref {
    i32 space = ABSENT;
    Type type = Type::u8;
    i64 offset = 0;  // bytes; of a constant, its address
};

using Spaces = char* const*;

template <class T>
inline T* at(Spaces spaces, const Ref& ref) {
    return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(spaces[ref.space]) + std::uintptr_t(ref.offset));
}

// Nested loops over up to three operands; sizes from the outermost axis, strides in elements.
inline constexpr int MAX_AXES = 12;
struct Loop {
    i32 axes = 0;
    i64 size[MAX_AXES] = {};
    i64 stride[3][MAX_AXES] = {};
};

// y = y op x, element by element; sums and maxima over an axis are loops in which y stands still.
enum class Op : i32 { set, add, both, without, max };
struct MapArgs {
    Op op;
    Ref x, y;
    Loop loop;   // x, y
    bool split;  // no two iterations write one element
};

// y = clip(rint(x / step), lo, hi), float32, rint to even.
struct EncodeArgs {
    Ref x, y;
    Loop loop;  // x, y
    float step, lo, hi;
};

// v = trunc0(v keep / 2^decay) + (a << shift) + bias; fires over the threshold, and is 0 then. Where neurons have
// thresholds of their own, the kernels take these.
struct Neuron {
    i32 shift, decay, keep, threshold;
};

struct LifArgs {
    Ref x, y, v, bias;  // v: membranes after reset, int32, strides of y
    Ref thresholds;     // int32, strides of the bias; absent where one serves all
    Loop loop;          // x, y, bias
    Neuron neuron;
    i64 steps, step_x, step_y;
};

// y[n, m] = sum of a[n, k] b[k, m], for each of a loop over a, b, y.
struct MatmulArgs {
    Ref a, b, y;
    Loop loop;
    i64 n, k, m;
    i64 an, ak, bk, bm, yn, ym;
    bool small;  // a does not exceed 127
    bool large;  // b does
};

// Largest window first, then the neuron; sizes of the pooled map.
struct Pool {
    i64 kernel[2], stride[2], padding[2], size[2];
};

// How axons are summed by tables, six at a time; see kernels/lookup.hpp.
struct Lookup {
    const i32* offsets;  // [groups] elements of the index planes from a row's place to its index for the group
    const i32* axons;    // [groups] the first axon of each among the 4 k4
    const i32* ends;     // [segments] the group before which each segment of int16 sums ends
    const i32* shifts;   // [classes] rows of the input from the start of a run to the first that a class of taps meets
    const i32* sizes;    // [classes] rows that its taps meet
    const i32* taps;     // [taps] rows of the input from a position's to those of each tap
    i64 groups, segments;  // no groups: no tables
    i64 classes, rows, plane;  // rows of the input in all; elements from index plane to index plane
    i64 run;               // rows of a run in an index plane: those of its positions, or all up to the next run
    bool counts;           // an axon may fire more than once: what tables leave is added by columns
};

enum class Tail : i32 { sums, lif, pool_lif };

// A convolution as an implicit matrix product: a row is one time step of one position, and of its taps.
// Positions come in runs (lines of the image) in which rows are `row` bytes apart.
struct GemmArgs {
    Ref x, y, v;
    Tail tail;
    const i8* weights;   // tiles, see tile.hpp
    const i32* offsets;  // [k4] bytes from a row to the four axons of each group
    const i32* bias;     // [blocks][32] in membrane units, or in units of the sums where these are the result
    const i32* thresholds;  // [blocks][32] in membrane units; of sums none
    const i8* columns;   // [wide blocks][4 k4][64] for the event path and for counts in tables, or null
    Lookup lookup;       // for binary input, where the processor is fast at it
    i64 tap;             // groups of a tap: their axons lie side by side
    bool small;          // no axon exceeds 127
    i64 k4, outputs;
    i64 row, runs, run_bytes, positions;
    i64 rows;                   // rows a position: T, or 1 where the input is the same in all steps
    i64 steps;                  // T
    i64 step_y, position_y;     // elements of y between time steps and between positions
    Neuron neuron;
    Pool pool;
};

}  // namespace neurodeploy
