// Convolutions and linear layers, with what follows them: nothing, a LIF population, or max pooling and a LIF.
#include "neuron.hpp"
#include "tile.hpp"

namespace neurodeploy::ND_PATH {
namespace {

constexpr i64 CHUNK_BYTES = 256 << 10;  // of axons that stay in the second cache while the weights pass

// The sums of `count` positions of a run, for one block of outputs.
template <class X>
void sum_rows(const GemmArgs& args, const u8* x, i64 count, i64 block, i32* sums) {
    const i8* weights = args.weights + block * args.k4 * OUTPUTS * GROUP;
    const i64 rows = count * args.rows;
    if constexpr (sizeof(X) == 1) {
        tiles(rows, x, args.row, args.offsets, args.k4, weights, sums);
    } else {
        for (i64 r = 0; r < rows; ++r) {
            wide_row(x + r * args.row, args.offsets, args.k4, weights, sums + r * OUTPUTS);
        }
    }
}

inline i64 width(const GemmArgs& args, i64 block) { return least(OUTPUTS, args.outputs - block * OUTPUTS); }

void write(const GemmArgs& args, const i32* sums, i64 count, i64 block, i32* y) {
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
template <class Decay>
void fire(const GemmArgs& args, const i32* __restrict sums, i64 next, i64 block, u8* __restrict y, i32* kept) {
    alignas(64) i32 v[OUTPUTS] = {};
    alignas(64) u8 spikes[OUTPUTS];
    const i32* bias = args.bias + block * OUTPUTS;
    const Neuron neuron = args.neuron;
    const i64 n = width(args, block);
    for (i64 t = 0; t < args.steps; ++t) {
        for (i64 o = 0; o < OUTPUTS; ++o) {
            v[o] = charged<Decay>(v[o], sums[t * next + o], bias[o], neuron);
            const bool fires = v[o] > neuron.threshold;
            spikes[o] = fires;
            v[o] = fires ? 0 : v[o];
        }
        u8* out = y + t * args.step_y;
        if (n == OUTPUTS) {
            __builtin_memcpy(out, spikes, OUTPUTS);
        } else {
            for (i64 o = 0; o < n; ++o) out[o] = spikes[o];
        }
        if (kept) {
            for (i64 o = 0; o < n; ++o) kept[t * args.step_y + o] = v[o];
        }
    }
}

inline i64 next_step(const GemmArgs& args) { return args.rows == 1 ? 0 : OUTPUTS; }

template <class Decay>
void fire_all(const GemmArgs& args, const i32* sums, i64 count, i64 block, u8* y, i32* v) {
    for (i64 p = 0; p < count; ++p) {
        fire<Decay>(args, sums + p * args.rows * OUTPUTS, next_step(args), block, y + p * args.position_y,
                    v ? v + p * args.position_y : v);
    }
}

struct Strips {
    i64 size, per_run, count, chunks;

    explicit Strips(const GemmArgs& args) {
        size = most(i64(1), STRIP_ROWS / args.rows);
        per_run = (args.positions + size - 1) / size;
        count = args.runs * per_run;
        chunks = least(count, count * size * args.rows * args.row / CHUNK_BYTES + 1);
    }
};

// Chunk by chunk of the axons, every block of outputs; a task is one block of one chunk.
template <class X, class Emit>
void by_strips(const GemmArgs& args, Spaces spaces, i64 part, i64 parts, Emit emit) {
    const Strips strips(args);
    const i64 blocks = (args.outputs + OUTPUTS - 1) / OUTPUTS, tasks = strips.chunks * blocks;
    const u8* x = at<u8>(spaces, args.x);
    i32* sums = reinterpret_cast<i32*>(spaces[SCRATCH]);
    for (i64 task = tasks * part / parts; task < tasks * (part + 1) / parts; ++task) {
        const i64 chunk = task / blocks, block = task % blocks;
        const i64 last = strips.count * (chunk + 1) / strips.chunks;
        for (i64 strip = strips.count * chunk / strips.chunks; strip < last; ++strip) {
            const i64 run = strip / strips.per_run, first = strip % strips.per_run * strips.size;
            const i64 count = least(strips.size, args.positions - first);
            sum_rows<X>(args, x + run * args.run_bytes + first * args.rows * args.row, count, block, sums);
            emit(sums, count, block, (run * args.positions + first) * args.position_y + block * OUTPUTS);
        }
    }
}

template <class X>
void sums_only(const GemmArgs& args, Spaces spaces, i64 part, i64 parts) {
    i32* y = at<i32>(spaces, args.y);
    by_strips<X>(args, spaces, part, parts, [&](const i32* sums, i64 count, i64 block, i64 to) {
        write(args, sums, count, block, y + to);
    });
}

template <class X, class Decay>
void with_lif(const GemmArgs& args, Spaces spaces, i64 part, i64 parts) {
    u8* y = at<u8>(spaces, args.y);
    i32* v = args.v.space == ABSENT ? nullptr : at<i32>(spaces, args.v);
    by_strips<X>(args, spaces, part, parts, [&](const i32* sums, i64 count, i64 block, i64 to) {
        fire_all<Decay>(args, sums, count, block, y + to, v ? v + to : v);
    });
}

// The largest sums of a window, over the lines of a ring that holds the last kernel[0] lines.
void pooled(const GemmArgs& args, const i32* ring, i64 line_size, i64 py, i64 px, i32* largest) {
    const Pool& pool = args.pool;
    const i64 top = py * pool.stride[0] - pool.padding[0], left = px * pool.stride[1] - pool.padding[1];
    bool first = true;
    for (i64 y = most(top, i64(0)); y < least(top + pool.kernel[0], args.runs); ++y) {
        for (i64 x = most(left, i64(0)); x < least(left + pool.kernel[1], args.positions); ++x) {
            const i32* tap = ring + y % pool.kernel[0] * line_size + x * args.rows * OUTPUTS;
            const i64 n = args.rows * OUTPUTS;
            for (i64 i = 0; i < n; ++i) largest[i] = first || tap[i] > largest[i] ? tap[i] : largest[i];
            first = false;
        }
    }
}

// Line by line of the pooled map; a line of the convolution is summed once, when the first window reaches it.
template <class X, class Decay>
void pool_band(const GemmArgs& args, Spaces spaces, i64 block, i64 first, i64 last) {
    const Pool& pool = args.pool;
    const i64 line_size = args.positions * args.rows * OUTPUTS;
    const u8* x = at<u8>(spaces, args.x);
    i32* largest = reinterpret_cast<i32*>(spaces[SCRATCH]);
    i32* ring = largest + args.rows * OUTPUTS;
    i64 done = most(i64(0), first * pool.stride[0] - pool.padding[0]);
    for (i64 py = first; py < last; ++py) {
        const i64 top = py * pool.stride[0] - pool.padding[0];
        done = most(done, top);
        for (; done < least(top + pool.kernel[0], args.runs); ++done) {
            sum_rows<X>(args, x + done * args.run_bytes, args.positions, block,
                             ring + done % pool.kernel[0] * line_size);
        }
        for (i64 px = 0; px < pool.size[1]; ++px) {
            pooled(args, ring, line_size, py, px, largest);
            const i64 to = (py * pool.size[1] + px) * args.position_y + block * OUTPUTS;
            i32* v = args.v.space == ABSENT ? nullptr : at<i32>(spaces, args.v) + to;
            fire<Decay>(args, largest, next_step(args), block, at<u8>(spaces, args.y) + to, v);
        }
    }
}

template <class X, class Decay>
void with_pool(const GemmArgs& args, Spaces spaces, i64 part, i64 parts) {
    const i64 blocks = (args.outputs + OUTPUTS - 1) / OUTPUTS, bands = blocks % parts ? parts : 1;
    const i64 tasks = blocks * bands, lines = args.pool.size[0];
    for (i64 task = tasks * part / parts; task < tasks * (part + 1) / parts; ++task) {
        const i64 band = task / blocks;
        pool_band<X, Decay>(args, spaces, task % blocks, lines * band / bands, lines * (band + 1) / bands);
    }
}

template <class X, class Decay>
void spikes(const GemmArgs& args, Spaces spaces, i64 part, i64 parts) {
    if (args.tail == Tail::lif) return with_lif<X, Decay>(args, spaces, part, parts);
    with_pool<X, Decay>(args, spaces, part, parts);
}

template <class X>
void by_tail(const GemmArgs& args, Spaces spaces, i64 part, i64 parts) {
    if (args.tail == Tail::sums) return sums_only<X>(args, spaces, part, parts);
    if (is_half(args.neuron)) return spikes<X, Half>(args, spaces, part, parts);
    spikes<X, Scaled>(args, spaces, part, parts);
}

}  // namespace

void gemm(const GemmArgs& args, Spaces spaces, i64 part, i64 parts) {
    if (args.x.type == Type::u8) return by_tail<u8>(args, spaces, part, parts);
    by_tail<i32>(args, spaces, part, parts);
}

}  // namespace neurodeploy::ND_PATH
