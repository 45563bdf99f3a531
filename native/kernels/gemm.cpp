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
        tiles(rows, x, args.row, args.offsets, args.k4, weights, args.small, sums);
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
#if defined(__AVX512BW__)

template <class Decay>
void fire(const GemmArgs& args, const i32* sums, i64 next, i64 block, u8* y, i32* kept) {
    const i64 n = width(args, block);
    const __mmask32 lanes = __mmask32(~u32(0) >> (OUTPUTS - n));
    const Neuron neuron = args.neuron;
    const __m128i shift = _mm_cvtsi32_si128(neuron.shift);
    const __m512i threshold = _mm512_set1_epi32(neuron.threshold);
    __m512i v[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()}, bias[2];
    for (int i = 0; i < 2; ++i) bias[i] = _mm512_loadu_si512(args.bias + block * OUTPUTS + 16 * i);
    for (i64 t = 0; t < args.steps; ++t) {
        __mmask32 fires = 0;
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
            const __m512i current = _mm512_sll_epi32(_mm512_loadu_si512(sums + t * next + 16 * i), shift);
            v[i] = _mm512_add_epi32(_mm512_add_epi32(Decay::kept(v[i], neuron), current), bias[i]);
            const __mmask16 over = _mm512_cmpgt_epi32_mask(v[i], threshold);
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
        for (i64 o = 0; o < n; ++o) y[t * args.step_y + o] = spikes[o];
        if (kept) {
            for (i64 o = 0; o < n; ++o) kept[t * args.step_y + o] = v[o];
        }
    }
}

#endif

inline i64 next_step(const GemmArgs& args) { return args.rows == 1 ? 0 : OUTPUTS; }

template <class Decay>
void fire_all(const GemmArgs& args, const i32* sums, i64 count, i64 block, u8* y, i32* v) {
    for (i64 p = 0; p < count; ++p) {
        fire<Decay>(args, sums + p * args.rows * OUTPUTS, next_step(args), block, y + p * args.position_y,
                    v ? v + p * args.position_y : v);
    }
}

// Positions of a run that are summed together.
struct Strip {
    i64 run, first, count;
};

struct Strips {
    i64 size, per_run, count;

    explicit Strips(const GemmArgs& args)
        : size(most(i64(1), STRIP_ROWS / args.rows)),
          per_run((args.positions + size - 1) / size),
          count(args.runs * per_run) {}

    Strip at(const GemmArgs& args, i64 index) const {
        const i64 first = index % per_run * size;
        return {index / per_run, first, least(size, args.positions - first)};
    }
};

inline const u8* axons_of(const GemmArgs& args, const u8* x, const Strip& strip) {
    return x + strip.run * args.run_bytes + strip.first * args.rows * args.row;
}

// Elements of y from its start to those of a strip and a block.
inline i64 place_of(const GemmArgs& args, const Strip& strip, i64 block) {
    return (strip.run * args.positions + strip.first) * args.position_y + block * OUTPUTS;
}

inline i64 blocks_of(const GemmArgs& args, i64 width) { return (args.outputs + width - 1) / width; }

// Chunk by chunk of the axons, every block of outputs; a task is one block of one chunk.
template <class X, class Emit>
void by_tiles(const GemmArgs& args, Spaces spaces, i64 part, i64 parts, Emit emit) {
    const Strips strips(args);
    const i64 bytes = strips.count * strips.size * args.rows * args.row;
    const i64 chunks = least(strips.count, bytes / CHUNK_BYTES + 1), blocks = blocks_of(args, OUTPUTS);
    const i64 tasks = chunks * blocks;
    const u8* x = at<u8>(spaces, args.x);
    i32* sums = reinterpret_cast<i32*>(spaces[SCRATCH]);
    for (i64 task = tasks * part / parts; task < tasks * (part + 1) / parts; ++task) {
        const i64 chunk = task / blocks, block = task % blocks;
        for (i64 i = strips.count * chunk / chunks; i < strips.count * (chunk + 1) / chunks; ++i) {
            const Strip strip = strips.at(args, i);
            sum_rows<X>(args, axons_of(args, x, strip), strip.count, block, sums);
            emit(sums, strip.count, block, place_of(args, strip, block));
        }
    }
}

// Scratch of the event path: sums of both halves of a wide block, and of each row of a chunk the axons that fired.
struct Fired {
    i64 per_strip, fan_in;
    i32 *sums, *high;
    i64* starts;  // of each row in `lists`, and where the last one ends
    std::uint16_t* lists;

    Fired(const GemmArgs& args, const Strips& strips, i64 rows, char* scratch)
        : per_strip(strips.size * args.rows), fan_in(args.k4 * GROUP) {
        sums = reinterpret_cast<i32*>(scratch);
        high = sums + per_strip * OUTPUTS;
        starts = reinterpret_cast<i64*>(high + per_strip * OUTPUTS);
        lists = reinterpret_cast<std::uint16_t*>(starts + rows + 1);
    }

    // Lists the strips first .. last - 1, unless too many axons fired: then false.
    bool list(const GemmArgs& args, const u8* x, const Strips& strips, i64 first, i64 last) {
        i64 fired = 0, rows = 0;
        each_row(args, x, strips, first, last, [&](i64, const u8* axons) {
            fired += count_fired(axons, args.offsets, args.k4, args.tap);
            ++rows;
        });
        if (double(fired) > MOST_FIRED * double(rows * fan_in)) return false;
        i64 listed = 0;
        each_row(args, x, strips, first, last, [&](i64 row, const u8* axons) {
            starts[row] = listed;
            starts[row + 1] = listed += list_fired(axons, args.offsets, args.k4, args.tap, lists + listed);
        });
        return true;
    }

    template <class F>
    void each_row(const GemmArgs& args, const u8* x, const Strips& strips, i64 first, i64 last, F f) const {
        for (i64 i = first; i < last; ++i) {
            const Strip strip = strips.at(args, i);
            const u8* axons = axons_of(args, x, strip);
            for (i64 r = 0; r < strip.count * args.rows; ++r) f((i - first) * per_strip + r, axons + r * args.row);
        }
    }

    void sum(i64 index, i64 rows, const i8* columns) {
        for (i64 r = 0; r < rows; ++r) {
            const i64 row = index * per_strip + r;
            const i64 count = starts[row + 1] - starts[row];
            add_columns(lists + starts[row], count, columns, sums + r * OUTPUTS, high + r * OUTPUTS);
        }
    }
};

// The same for binary axons: a chunk in which few fired is summed column by column, two blocks at a time.
template <class Emit>
void by_columns(const GemmArgs& args, Spaces spaces, i64 part, i64 parts, Emit emit) {
    const Strips strips(args);
    const i64 per_chunk = most(i64(1), EVENT_ROWS / (strips.size * args.rows));
    const i64 chunks = (strips.count + per_chunk - 1) / per_chunk, pairs = blocks_of(args, WIDE);
    const i64 tasks = chunks * pairs, blocks = blocks_of(args, OUTPUTS);
    const u8* x = at<u8>(spaces, args.x);
    Fired fired(args, strips, per_chunk * strips.size * args.rows, spaces[SCRATCH]);
    i64 listed = -1;
    bool quiet = false;
    for (i64 task = tasks * part / parts; task < tasks * (part + 1) / parts; ++task) {
        const i64 chunk = task / pairs, pair = task % pairs;
        const i64 first = strips.count * chunk / chunks, last = strips.count * (chunk + 1) / chunks;
        if (chunk != listed) quiet = fired.list(args, x, strips, first, last);
        listed = chunk;
        const i8* columns = args.columns + pair * fired.fan_in * WIDE;
        for (i64 k = 0; quiet && k < fired.fan_in; ++k) __builtin_prefetch(columns + k * WIDE);
        for (i64 i = first; i < last; ++i) {
            const Strip strip = strips.at(args, i);
            if (quiet) fired.sum(i - first, strip.count * args.rows, columns);
            for (i64 block = 2 * pair; block < least(2 * pair + 2, blocks); ++block) {
                if (!quiet) sum_rows<u8>(args, axons_of(args, x, strip), strip.count, block, fired.sums);
                emit(quiet && block % 2 ? fired.high : fired.sums, strip.count, block, place_of(args, strip, block));
            }
        }
    }
}

template <class X, class Emit>
void by_strips(const GemmArgs& args, Spaces spaces, i64 part, i64 parts, Emit emit) {
    if (args.columns) return by_columns(args, spaces, part, parts, emit);
    by_tiles<X>(args, spaces, part, parts, emit);
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
void pooled(const GemmArgs& args, const i32* ring, i64 line_size, i64 py, i64 px, i32* __restrict largest) {
    const Pool& pool = args.pool;
    const i64 top = py * pool.stride[0] - pool.padding[0], left = px * pool.stride[1] - pool.padding[1];
    const i64 size = args.rows * OUTPUTS;
    for (i64 i = 0; i < size; ++i) largest[i] = INT32_MIN;
    for (i64 y = most(top, i64(0)); y < least(top + pool.kernel[0], args.runs); ++y) {
        const i32* line = ring + y % pool.kernel[0] * line_size;
        for (i64 x = most(left, i64(0)); x < least(left + pool.kernel[1], args.positions); ++x) {
            const i32* __restrict tap = line + x * size;
            for (i64 i = 0; i < size; i += OUTPUTS) {
                for (i64 o = i; o < i + OUTPUTS; ++o) largest[o] = most(largest[o], tap[o]);
            }
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
    const i64 blocks = blocks_of(args, OUTPUTS), bands = blocks % parts ? parts : 1;
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
