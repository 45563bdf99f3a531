// Convolutions and linear layers, with what follows them: nothing, a LIF population, or max pooling and a LIF.
#include "lookup.hpp"
#include "tail.hpp"

namespace neurodeploy::ND_PATH {
namespace {

constexpr double LEAST_LOOKED_UP = 0.2;  // the share of axons that fire below which columns are faster than tables
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

// Positions of a run that are summed together.
struct Strip {
    i64 run, first, count;
};

struct Strips {
    i64 size, per_run, count;

    explicit Strips(const GemmArgs& args, i64 rows = STRIP_ROWS)
        : size(least(args.positions, most(i64(1), rows / args.rows))),
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
        for (i64 i = 0; i <= AHEAD; ++i) lists[listed + i] = 0;
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

// Scratch of the lookup path: index planes, what they leave, and the strips of a chunk as vectors.
struct Tables {
    u16* planes;
    Left left{};
    char* work;
    i32* sums;
    Vector vectors[LOOKUP_LANES];
    i64 count = 0;

    Tables(const GemmArgs& args, char* scratch) {
        planes = reinterpret_cast<u16*>(take(scratch, plane_bytes(args)));
        if (args.lookup.counts) {
            left.starts = reinterpret_cast<i32*>(take(scratch, start_bytes(args)));
            left.lists = reinterpret_cast<u16*>(take(scratch, list_bytes(args)));
            left.row = reinterpret_cast<u16*>(take(scratch, row_bytes(args)));
        }
        work = take(scratch, LOOKUP_WORK);
        sums = reinterpret_cast<i32*>(scratch);
    }

    static char* take(char*& scratch, i64 bytes) {
        char* taken = scratch;
        scratch += bytes;
        return taken;
    }

    // Indexes the input, unless tables leave too much of it: then false.
    bool index(const GemmArgs& args, const u8* x) {
        if (args.lookup.counts && !list_left(args, x, left)) return false;
        index_planes(args, x, planes);
        return true;
    }

    // What is summed next, beside what was added already: n rows of the product from `first` on, to row `to` and after.
    void add_rows(const GemmArgs& args, i64 first, i64 n, i64 to) {
        const i64 run = args.positions * args.rows;
        for (i64 r = 0; r < n; r += vectors[count++].count) {
            const i64 place = (first + r) % run, rest = args.lookup.run == run ? n - r : least(n - r, run - place);
            vectors[count] = {(first + r) / run * args.lookup.run + place, least(LANES, rest), to + r};
        }
    }

    // The sums of `blocks` blocks, `apart` elements from one another.
    void sum(const GemmArgs& args, i64 block, i64 blocks, i32* to, i64 apart) {
        for (i64 b = 0; b < blocks; ++b) look_up(args, planes, vectors, count, block + b, work, to + b * apart);
        if (args.lookup.counts) add_left(args, left, vectors, count, block, to, to + apart);
    }
};

template <class Emit>
void by_tables(const GemmArgs& args, Tables& tables, i64 part, i64 parts, Emit emit) {
    const i64 positions = args.runs * args.positions, fitting = LOOKUP_LANES * LANES / args.rows;
    const i64 whole = fitting < LANES ? fitting : fitting / LANES * LANES;  // so that vectors begin on lines of the cache
    const i64 even = positions / ((positions + whole - 1) / whole), size = least(whole, (even + LANES) / LANES * LANES);
    const i64 chunks = (positions + size - 1) / size, width = lookup_blocks(args);
    const i64 blocks = blocks_of(args, OUTPUTS), units = (blocks + width - 1) / width, tasks = chunks * units;
    const i64 apart = lookup_rows(args) * OUTPUTS;
    for (i64 task = tasks * part / parts; task < tasks * (part + 1) / parts; ++task) {
        const i64 first = task / units * size, n = least(size, positions - first);
        const i64 block = task % units * width, count = least(width, blocks - block);
        tables.count = 0;
        tables.add_rows(args, first * args.rows, n * args.rows, 0);
        tables.sum(args, block, count, tables.sums, apart);
        for (i64 b = 0; b < count; ++b) {
            emit(tables.sums + b * apart, n, block + b, first * args.position_y + (block + b) * OUTPUTS);
        }
    }
}

// Whether so few axons fire, by one row in seven (which meets all time steps), that columns are faster than tables.
bool is_quiet(const GemmArgs& args, const u8* x) {
    i64 fired = 0, rows = 0;
    for (i64 row = 0; row < args.lookup.rows; row += 7, ++rows) {
        fired += count_fired(x + row * args.row, args.offsets, args.tap, args.tap);
    }
    return double(fired) < LEAST_LOOKED_UP * double(rows * args.tap * GROUP);
}

template <class X, class Emit>
void by_strips(const GemmArgs& args, Spaces spaces, i64 part, i64 parts, Emit emit) {
    const bool binary = !args.lookup.counts;
    if (args.lookup.groups && !(args.columns && binary && is_quiet(args, at<u8>(spaces, args.x)))) {
        Tables tables(args, spaces[SCRATCH]);
        if (tables.index(args, at<u8>(spaces, args.x))) return by_tables(args, tables, part, parts, emit);
    }
    if (args.columns && binary) return by_columns(args, spaces, part, parts, emit);
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

// Lines of sums that pooling windows still need, `lines` of them from line `base` on, the oldest overwritten first.
struct Ring {
    i32* sums;
    i64 lines, line_size, base = 0;
    i32* line(i64 y) const { return sums + (y - base) % lines * line_size; }

    // Makes room for lines from y on behind the last `kept` before it. Lines up to y - 1 have not wrapped around.
    void move(i64 y, i64 kept) {
        if (kept > 0 && y - kept != base) __builtin_memmove(sums, line(y - kept), u64(kept * line_size) * sizeof(i32));
        base = y - kept;
    }
};

// Lines first .. last - 1 of the pooled map, of some blocks of outputs.
struct Band {
    i64 block, blocks, first, last;
};

// The largest sums of a window.
void pooled(const GemmArgs& args, const Ring& ring, i64 py, i64 px, i32* __restrict largest) {
    const Pool& pool = args.pool;
    const i64 top = py * pool.stride[0] - pool.padding[0], left = px * pool.stride[1] - pool.padding[1];
    const i64 size = args.rows * OUTPUTS;
    for (i64 i = 0; i < size; ++i) largest[i] = INT32_MIN;
    for (i64 y = most(top, i64(0)); y < least(top + pool.kernel[0], args.runs); ++y) {
        const i32* line = ring.line(y);
        for (i64 x = most(left, i64(0)); x < least(left + pool.kernel[1], args.positions); ++x) {
            const i32* __restrict tap = line + x * size;
            for (i64 i = 0; i < size; i += OUTPUTS) {
                for (i64 o = i; o < i + OUTPUTS; ++o) largest[o] = most(largest[o], tap[o]);
            }
        }
    }
}

// Line by line of the pooled map; a line of the convolution is summed once, when the first window reaches it.
// sum(line): puts the sums of a line, or of that and some after it, into the rings of the blocks; how many lines.
template <class Decay, class Sum>
void pool_band(const GemmArgs& args, Spaces spaces, const Ring* rings, i32* largest, const Band& band, Sum sum) {
    const Pool& pool = args.pool;
    i64 done = most(i64(0), band.first * pool.stride[0] - pool.padding[0]);
    for (i64 py = band.first; py < band.last; ++py) {
        const i64 top = py * pool.stride[0] - pool.padding[0];
        done = most(done, top);
        while (done < least(top + pool.kernel[0], args.runs)) done += sum(done);
        for (i64 i = 0; i < pool.size[1] * band.blocks; ++i) {
            const i64 b = i / pool.size[1], px = i % pool.size[1], block = band.block + b;
            pooled(args, rings[b], py, px, largest);
            const i64 to = (py * pool.size[1] + px) * args.position_y + block * OUTPUTS;
            i32* v = args.v.space == ABSENT ? nullptr : at<i32>(spaces, args.v) + to;
            fire<Decay>(args, largest, next_step(args), block, at<u8>(spaces, args.y) + to, v);
        }
    }
}

// A band for each `width` blocks, or some where threads cannot share the blocks evenly.
template <class Task>
void each_band(const GemmArgs& args, i64 width, i64 part, i64 parts, Task task_of) {
    const i64 blocks = blocks_of(args, OUTPUTS), units = (blocks + width - 1) / width;
    const i64 bands = units % parts ? parts : 1, tasks = units * bands, lines = args.pool.size[0];
    for (i64 task = tasks * part / parts; task < tasks * (part + 1) / parts; ++task) {
        const i64 index = task / units, block = task % units * width;
        task_of(Band{block, least(width, blocks - block), lines * index / bands, lines * (index + 1) / bands});
    }
}

template <class X, class Decay>
void pool_by_tiles(const GemmArgs& args, Spaces spaces, i64 part, i64 parts) {
    const u8* x = at<u8>(spaces, args.x);
    i32* largest = reinterpret_cast<i32*>(spaces[SCRATCH]);
    const i64 size = args.rows * OUTPUTS;
    const Ring ring{largest + size, args.pool.kernel[0], args.positions * size};
    each_band(args, 1, part, parts, [&](const Band& band) {
        pool_band<Decay>(args, spaces, &ring, largest, band, [&](i64 line) {
            sum_rows<X>(args, x + line * args.run_bytes, args.positions, band.block, ring.line(line));
            return i64(1);
        });
    });
}

// Each time as many lines as tables serve well, behind those that windows still need.
template <class Decay>
void pool_by_tables(const GemmArgs& args, Spaces spaces, Tables& tables, i64 part, i64 parts) {
    const i64 size = args.rows * OUTPUTS, lines = lookup_lines(args), apart = lookup_rows(args) * OUTPUTS;
    const i64 run = args.positions * args.rows, overlap = args.pool.kernel[0] - 1;
    Ring ring{tables.sums + size, overlap + lines, run * OUTPUTS};
    Ring rings[] = {ring, {ring.sums + apart, ring.lines, ring.line_size}};
    each_band(args, lookup_blocks(args), part, parts, [&](const Band& band) {
        i64 next = -1, held = 0;  // the line behind the last that was summed; lines in the ring
        pool_band<Decay>(args, spaces, rings, tables.sums, band, [&](i64 line) {
            const i64 count = least(lines, args.runs - line), kept = line == next ? least(held, overlap) : 0;
            tables.count = 0;
            if (run % LANES == 0) {
                for (i64 y = line; y < line + count; ++y) tables.add_rows(args, y * run, run, y % ring.lines * run);
            } else {  // vectors reach over ends of lines: these must follow one another
                for (i64 b = 0; b < band.blocks; ++b) rings[b].move(line, kept);
                tables.add_rows(args, line * run, count * run, kept * run);
            }
            tables.sum(args, band.block, band.blocks, ring.sums, apart);
            next = line + count, held = kept + count;
            return count;
        });
    });
}

template <class X, class Decay>
void with_pool(const GemmArgs& args, Spaces spaces, i64 part, i64 parts) {
    if (args.lookup.groups) {
        Tables tables(args, spaces[SCRATCH]);
        if (tables.index(args, at<u8>(spaces, args.x))) return pool_by_tables<Decay>(args, spaces, tables, part, parts);
    }
    pool_by_tiles<X, Decay>(args, spaces, part, parts);
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
