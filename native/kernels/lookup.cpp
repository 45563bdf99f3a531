// Tables that six binary axons index; AVX-512 alone has the instruction that reads 32 lanes of a table of 64 at once.
#include "lookup.hpp"

#if defined(__AVX512BW__)
#include <immintrin.h>
#include <time.h>
#endif

namespace neurodeploy::ND_PATH {

#if defined(__AVX512BW__)

#if defined(__clang__)
#define ND_ALONE noinline
#else
#define ND_ALONE noinline, noclone  // a copy for constant arguments would get registers of its own
#endif

namespace {

using i16 = std::int16_t;

constexpr i64 QUARTER = 4, HALF = 16;  // outputs of a tile of tables, and those that are transposed together
constexpr int VECTORS = 5;             // of a tile
constexpr i64 PIECE = 32;              // groups whose tables lie in the first cache together
constexpr i64 ENTRIES = 64;

// What tables may leave of counts, as a share of the axons, less what each row costs: above, the tile is faster.
constexpr double MOST_LEFT = 0.165, LEFT_COST = 20;

// Sums of four outputs over groups of axons, for a few vectors of lanes; `from`: their rows in the first plane.
template <int N>
__attribute__((ND_ALONE)) void tables_of(const u16* const* from, const i32* offsets, i64 groups, const i16* tables,
                                         bool more, i16* sums) {
    __m512i total[QUARTER][N];
#pragma GCC unroll 4
    for (int o = 0; o < QUARTER; ++o) {
#pragma GCC unroll 5
        for (int v = 0; v < N; ++v) {
            total[o][v] = more ? _mm512_load_si512(sums + (v * HALF + o) * LANES) : _mm512_setzero_si512();
        }
    }
    for (i64 g = 0; g < groups; ++g) {
        __m512i index[N];
#pragma GCC unroll 5
        for (int v = 0; v < N; ++v) index[v] = _mm512_loadu_si512(from[v] + offsets[g]);
#pragma GCC unroll 4
        for (int o = 0; o < QUARTER; ++o) {
            const __m512i low = _mm512_load_si512(tables), high = _mm512_load_si512(tables + LANES);
            tables += ENTRIES;
#pragma GCC unroll 5
            for (int v = 0; v < N; ++v) {
                total[o][v] = _mm512_add_epi16(total[o][v], _mm512_permutex2var_epi16(low, index[v], high));
            }
        }
    }
#pragma GCC unroll 4
    for (int o = 0; o < QUARTER; ++o) {
#pragma GCC unroll 5
        for (int v = 0; v < N; ++v) _mm512_store_si512(sums + (v * HALF + o) * LANES, total[o][v]);
    }
}

using Tables = void (*)(const u16* const*, const i32*, i64, const i16*, bool, i16*);
constexpr Tables TABLES[VECTORS] = {tables_of<1>, tables_of<2>, tables_of<3>, tables_of<4>, tables_of<5>};

// For each entry i of a table, bits `first` and `first + 1` of i, as neighbouring bytes.
inline __m512i pair_of_bits(int first, int base) {
    alignas(64) u8 bits[2 * LANES];
    for (int i = 0; i < LANES; ++i) {
        bits[2 * i] = u8((base + i) >> first & 1), bits[2 * i + 1] = u8((base + i) >> (first + 1) & 1);
    }
    return _mm512_load_si512(bits);
}

// The tables of four outputs, [groups][4][64]; weights: of the block's first of them. The last group of a tap may be
// short: the axons that it lacks never fire, so any weights serve for them.
void fill(const i8* weights, const i32* axons, i64 groups, i64 fan_in, i16* tables) {
    const __m512i first = pair_of_bits(0, 0), second = pair_of_bits(2, 0);
    const __m512i third[2] = {pair_of_bits(4, 0), pair_of_bits(4, LANES)};
    for (i64 g = 0; g < groups; ++g) {
        const i8* pairs[3];
        for (int i = 0; i < 3; ++i) {
            const u64 axon = u64(least(axons[g] + 2 * i, i32(fan_in) - 2));
            pairs[i] = weights + axon / GROUP * (OUTPUTS * GROUP) + axon % GROUP;
        }
#pragma GCC unroll 4
        for (i64 o = 0; o < QUARTER; ++o, tables += ENTRIES) {
            const auto pair = [&](int i) {
                i16 both;
                __builtin_memcpy(&both, pairs[i] + o * GROUP, sizeof both);
                return _mm512_set1_epi16(both);
            };
            const __m512i last = pair(2);
            const __m512i four = _mm512_add_epi16(_mm512_maddubs_epi16(first, pair(0)),
                                                  _mm512_maddubs_epi16(second, pair(1)));
            _mm512_store_si512(tables, _mm512_add_epi16(four, _mm512_maddubs_epi16(third[0], last)));
            _mm512_store_si512(tables + LANES, _mm512_add_epi16(four, _mm512_maddubs_epi16(third[1], last)));
        }
    }
}

// Eight outputs of 32 lanes become 32 rows of eight: row 8 i + j lies in quarter i of to[j].
inline void transpose(const i16* from, __m512i* to) {
    __m512i a[8], b[8];
    for (int i = 0; i < 8; ++i) a[i] = _mm512_load_si512(from + i * LANES);
    for (int i = 0; i < 4; ++i) {
        b[2 * i] = _mm512_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 2; ++j) {
            a[4 * i + 2 * j] = _mm512_unpacklo_epi32(b[4 * i + j], b[4 * i + 2 + j]);
            a[4 * i + 2 * j + 1] = _mm512_unpackhi_epi32(b[4 * i + j], b[4 * i + 2 + j]);
        }
    }
    for (int i = 0; i < 4; ++i) {
        to[2 * i] = _mm512_unpacklo_epi64(a[i], a[4 + i]);
        to[2 * i + 1] = _mm512_unpackhi_epi64(a[i], a[4 + i]);
    }
}

template <int QUARTERS>
inline __m256i wide(__m512i rows) { return _mm256_cvtepi16_epi32(_mm512_extracti32x4_epi32(rows, QUARTERS)); }

inline void put(__m256i found, bool more, i32* to) {
    __m256i* at = reinterpret_cast<__m256i*>(to);
    _mm256_store_si256(at, more ? _mm256_add_epi32(found, _mm256_load_si256(at)) : found);
}

// 16 outputs of 32 lanes in int16 to rows of int32 sums.
inline void spread(const i16* from, i64 rows, bool more, i32* sums) {
    for (int half = 0; half < 2; ++half, from += 8 * LANES, sums += 8) {
        __m512i by_row[8];
        transpose(from, by_row);
        if (rows == LANES) {
#pragma GCC unroll 8
            for (int j = 0; j < 8; ++j) {
                put(wide<0>(by_row[j]), more, sums + j * OUTPUTS);
                put(wide<1>(by_row[j]), more, sums + (8 + j) * OUTPUTS);
                put(wide<2>(by_row[j]), more, sums + (16 + j) * OUTPUTS);
                put(wide<3>(by_row[j]), more, sums + (24 + j) * OUTPUTS);
            }
            continue;
        }
        alignas(64) i16 narrow[8][LANES];
        for (int j = 0; j < 8; ++j) _mm512_store_si512(narrow[j], by_row[j]);
        for (i64 r = 0; r < rows; ++r) {
            const __m128i* row = reinterpret_cast<const __m128i*>(narrow[r % 8]) + r / 8;
            put(_mm256_cvtepi16_epi32(_mm_load_si128(row)), more, sums + r * OUTPUTS);
        }
    }
}

// 16 outputs over the groups of one segment: sums [count][16][32] in int16.
void sum_half(const GemmArgs& args, const i8* weights, const u16* const* from, i64 count, i64 first, i64 last,
              i16* tables, i16* sums) {
    for (i64 g = first; g < last; g += PIECE) {
        const i64 groups = least(PIECE, last - g);
        for (i64 o = 0; o < HALF; o += QUARTER) {
            fill(weights + o * GROUP, args.lookup.axons + g, groups, args.k4 * GROUP, tables);
            for (i64 v = 0; v < count; v += VECTORS) {
                const i64 n = least(i64(VECTORS), count - v);
                TABLES[n - 1](from + v, args.lookup.offsets + g, groups, tables, g > first, sums + (v * HALF + o) * LANES);
            }
        }
    }
}

double seconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

template <class F>
double least_time(F f) {
    double best = 1;
    for (int i = 0; i < 8; ++i) {
        const double start = seconds();
        for (int j = 0; j < 100; ++j) f();
        best = least(best, seconds() - start);
    }
    return best;
}

}  // namespace

namespace {

// Which of the channels of a row fired an odd number of times, as bits.
inline void bits_of(const u8* axons, i64 channels, u8* bits) {
    for (i64 c = 0; c < channels; c += 64) {
        const __mmask64 lanes = channels - c >= 64 ? ~u64(0) : (u64(1) << (channels - c)) - 1;
        const u64 mask = _mm512_test_epi8_mask(_mm512_maskz_loadu_epi8(lanes, axons + c), _mm512_set1_epi8(1));
        __builtin_memcpy(bits + c / 8, &mask, sizeof mask);
    }
}

// The indices of 32 rows for eight planes of six bits each: byte j of a row's spread bits goes to plane j.
inline void eight_planes(const u64* spread, i64 planes, i64 plane, __mmask32 rows, u16* to) {
    const __m512i pairs = _mm512_set_epi8(  // bytes of two rows side by side, in each 128 bits
        15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0, 15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0,
        15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0, 15, 7, 14, 6, 13, 5, 12, 4, 11, 3, 10, 2, 9, 1, 8, 0);
    const __m512i turned = _mm512_set_epi16(31, 23, 15, 7, 30, 22, 14, 6, 29, 21, 13, 5, 28, 20, 12, 4, 27, 19, 11, 3, 26,
                                            18, 10, 2, 25, 17, 9, 1, 24, 16, 8, 0);
    alignas(64) u64 by_plane[4][8];
    for (int i = 0; i < 4; ++i) {
        const __m512i eight = _mm512_shuffle_epi8(_mm512_load_si512(spread + 8 * i), pairs);
        _mm512_store_si512(by_plane[i], _mm512_permutexvar_epi16(turned, eight));
    }
    for (i64 j = 0; j < planes; ++j) {
        const __m256i bytes = _mm256_set_epi64x(i64(by_plane[3][j]), i64(by_plane[2][j]), i64(by_plane[1][j]),
                                                i64(by_plane[0][j]));
        _mm512_mask_storeu_epi16(to + j * plane, rows, _mm512_cvtepu8_epi16(bytes));
    }
}

}  // namespace

void index_planes(const GemmArgs& args, const u8* x, u16* planes) {
    const i64 channels = args.tap * GROUP, of_class = (channels + AXONS - 1) / AXONS;
    const i64 run = args.lookup.run;
    alignas(64) u8 bits[LANES][MOST_CHANNELS / 8 + 16] = {};  // behind the last channel nothing fires
    alignas(64) u64 spread[LANES] = {};
    for (i64 c = 0; c < args.lookup.classes; ++c, planes += of_class * args.lookup.plane) {
        const u8* first = x + args.lookup.shifts[c] * args.row;
        const i64 in_all = args.lookup.sizes[c];
        for (i64 row = 0; row < in_all; row += LANES) {
            const i64 rows = least(LANES, in_all - row);
            i64 line = row / run, place = row % run;
            for (i64 r = 0; r < rows; ++r) {
                bits_of(first + line * args.run_bytes + place * args.row, channels, bits[r]);
                if (++place == run) ++line, place = 0;
            }
            for (i64 j = 0; j < of_class; j += 8) {
                for (i64 r = 0; r < rows; ++r) {
                    u64 next;
                    __builtin_memcpy(&next, bits[r] + AXONS * j / 8, sizeof next);
                    spread[r] = _pdep_u64(next, 0x3f3f3f3f3f3f3f3f);
                }
                eight_planes(spread, least(i64(8), of_class - j), args.lookup.plane, __mmask32(~u32(0) >> (LANES - rows)),
                             planes + j * args.lookup.plane + row);
            }
        }
    }
}

namespace {

// Calls f(channel, mask) for the channels of a row, 64 or fewer at a time, that fired 2 n times or more: for n = 1, 2, ...
template <class F>
inline void each_left(const u8* axons, i64 channels, F f) {
    for (i64 c = 0; c < channels; c += 64) {
        const __mmask64 lanes = channels - c >= 64 ? ~u64(0) : (u64(1) << (channels - c)) - 1;
        const __m512i these = _mm512_maskz_loadu_epi8(lanes, axons + c);
        for (int n = 1;; ++n) {
            const u64 over = _mm512_cmpgt_epu8_mask(these, _mm512_set1_epi8(char(2 * n - 1)));
            if (over == 0) break;
            f(c, over);
        }
    }
}

// How many axons the lists of what is left may hold: the share of all above which the tile is faster.
i64 most_worth(const GemmArgs& args, i64 rows) {
    const double share = MOST_LEFT - LEFT_COST / double(args.k4 * GROUP);
    return most(i64(0), i64(share * double(rows * args.tap * GROUP)));
}

}  // namespace

bool list_left(const GemmArgs& args, const u8* x, const Left& left) {
    const i64 channels = args.tap * GROUP, most_in_row = most_left_row(args), rows = args.lookup.rows;
    i64 found = 0, seen = 0;
    for (i64 row = 0; row < rows; row += 7, ++seen) {  // one in seven, which meets all time steps
        each_left(x + row * args.row, channels, [&](i64, u64 over) { found += __builtin_popcountll(over); });
    }
    if (found > most_worth(args, seen) + most_in_row) return false;  // so that few rows decide nothing
    const i64 most_in_all = most_worth(args, rows);
    u16* to = left.lists;
    for (i64 row = 0; row < rows; ++row) {
        u16* const start = to;
        left.starts[row] = i32(to - left.lists);
        bool fits = true;
        each_left(x + row * args.row, channels, [&](i64 c, u64 over) {
            fits = fits && to - start + __builtin_popcountll(over) <= most_in_row;
            for (; fits && over; over &= over - 1) *to++ = u16(c + __builtin_ctzll(over));
        });
        if (!fits || to - left.lists > most_in_all) return false;
    }
    left.starts[rows] = i32(to - left.lists);
    for (i64 i = 0; i <= AHEAD; ++i) to[i] = 0;
    return true;
}

namespace {

// The lists of all taps of a row of the input, as indices of its columns; how many.
i64 gather_left(const GemmArgs& args, const Left& left, i64 row) {
    const i64 channels = args.tap * GROUP, taps = args.k4 / args.tap;
    u16* to = left.row;
    for (i64 tap = 0; tap < taps; ++tap) {
        const i64 at = row + args.lookup.taps[tap];
        const __m512i base = _mm512_set1_epi16(i16(tap * channels));
        const u16* from = left.lists + left.starts[at];
        const i64 n = left.starts[at + 1] - left.starts[at];
        for (i64 i = 0; i < n; i += LANES) {
            _mm512_storeu_si512(to + i, _mm512_add_epi16(_mm512_loadu_si512(from + i), base));
        }
        to += n;
    }
    for (i64 i = 0; i <= AHEAD; ++i) to[i] = 0;
    return to - left.row;
}

}  // namespace

void add_left(const GemmArgs& args, const Left& left, const Vector* vectors, i64 count, i64 block, i32* low, i32* high) {
    const i8* columns = args.columns + block * OUTPUTS * args.k4 * GROUP;
    const bool taps = args.k4 > args.tap;
    const i64 run = args.lookup.run, apart = args.run_bytes / args.row;
    for (const Vector* v = vectors; v < vectors + count; ++v) {
        for (i64 r = 0; r < v->count; ++r) {
            const i64 row = (v->row + r) / run * apart + (v->row + r) % run, to = (v->at + r) * OUTPUTS;
            const u16* found = taps ? left.row : left.lists + left.starts[row];
            const i64 n = taps ? gather_left(args, left, row) : left.starts[row + 1] - left.starts[row];
            if (n) add_columns_twice(found, n, columns, low + to, high + to);
        }
    }
}

void look_up(const GemmArgs& args, const u16* planes, const Vector* vectors, i64 count, i64 block, char* work, i32* sums) {
    i16* tables = reinterpret_cast<i16*>(work);
    i16* narrow = tables + PIECE * QUARTER * ENTRIES;
    const u16* from[LOOKUP_LANES];
    for (i64 v = 0; v < count; ++v) from[v] = planes + vectors[v].row;
    const i8* weights = args.weights + block * args.k4 * OUTPUTS * GROUP;
    for (i64 o = 0; o < OUTPUTS; o += HALF) {
        for (i64 s = 0; s < args.lookup.segments; ++s) {
            const i32* ends = args.lookup.ends + s;
            sum_half(args, weights + o * GROUP, from, count, s ? ends[-1] : 0, ends[0], tables, narrow);
            for (i64 v = 0; v < count; ++v) {
                spread(narrow + v * HALF * LANES, vectors[v].count, s > 0, sums + vectors[v].at * OUTPUTS + o);
            }
        }
    }
}

double lookup_gain() {
    constexpr i64 groups = PIECE, k4 = groups * AXONS / GROUP;
    alignas(64) static const i16 tables[groups * QUARTER * ENTRIES] = {};
    alignas(64) static const i8 weights[k4 * OUTPUTS * GROUP] = {};
    alignas(64) static const u8 axons[TILE_ROWS * k4 * GROUP] = {};
    alignas(64) static const u16 index[groups * LANES] = {};
    alignas(64) i16 narrow[VECTORS * HALF * LANES];
    alignas(64) i32 sums[TILE_ROWS * OUTPUTS];
    i32 offsets[groups], at[k4];
    for (i64 g = 0; g < groups; ++g) offsets[g] = i32(g * LANES);
    for (i64 k = 0; k < k4; ++k) at[k] = i32(k * GROUP);
    const u16* from[VECTORS] = {index, index, index, index, index};
    const double by_tables = least_time([&] { tables_of<VECTORS>(from, offsets, groups, tables, false, narrow); });
    const double by_tile = least_time([&] { tile(TILE_ROWS, axons, k4 * GROUP, at, k4, weights, true, sums); });
    return by_tile / double(TILE_ROWS * OUTPUTS) / (by_tables / double(VECTORS * LANES * QUARTER));
}

#else

void index_planes(const GemmArgs&, const u8*, u16*) {}
bool list_left(const GemmArgs&, const u8*, const Left&) { return false; }
void add_left(const GemmArgs&, const Left&, const Vector*, i64, i64, i32*, i32*) {}
void look_up(const GemmArgs&, const u16*, const Vector*, i64, i64, char*, i32*) {}
double lookup_gain() { return 0; }

#endif

}  // namespace neurodeploy::ND_PATH
