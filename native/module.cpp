// The Python face of the engine: a program is built call by call by neurodeploy.backends.native.plan.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>

#include "program.hpp"

#define ND_PATH portable  // of declarations alone
#include "kernels/tile.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace neurodeploy;

namespace {

using Sizes = std::vector<i64>;
using RefTuple = std::tuple<int, int, i64>;                        // space, type, offset
using LoopTuple = std::tuple<Sizes, Sizes, Sizes, Sizes>;          // sizes, strides of up to three operands
using NeuronTuple = std::tuple<int, int, int, int>;                // shift, decay, keep, threshold
using Bytes = nb::ndarray<const i8, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Writable = nb::ndarray<nb::c_contig, nb::device::cpu>;
using ReadOnly = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

Ref place(const RefTuple& from) {
    return {std::get<0>(from), Type(std::get<1>(from)), std::get<2>(from)};
}

Loop loop(const LoopTuple& from) {
    const Sizes& sizes = std::get<0>(from);
    if (sizes.size() > MAX_AXES) throw std::invalid_argument("more axes than a kernel holds");
    Loop made;
    made.axes = i32(sizes.size());
    std::copy(sizes.begin(), sizes.end(), made.size);
    const Sizes* strides[] = {&std::get<1>(from), &std::get<2>(from), &std::get<3>(from)};
    for (int i = 0; i < 3; ++i) {
        if (!strides[i]->empty() && strides[i]->size() != sizes.size()) throw std::invalid_argument("strides of another rank");
        std::copy(strides[i]->begin(), strides[i]->end(), made.stride[i]);
    }
    return made;
}

Neuron neuron(const NeuronTuple& from) {
    return {std::get<0>(from), std::get<1>(from), std::get<2>(from), std::get<3>(from)};
}

template <std::size_t N>
void put(i64 (&to)[N], const Sizes& from) {
    if (from.size() != N) throw std::invalid_argument("a vector of another length");
    std::copy(from.begin(), from.end(), to);
}

i64 keep(Program& program, const ReadOnly& array) {
    return i64(reinterpret_cast<std::uintptr_t>(program.keep(array.data(), array.nbytes())));
}

i64 pack(Program& program, const Bytes& weights, bool columns) {
    if (weights.shape(1) % GROUP) throw std::invalid_argument("a fan-in that is no multiple of 4");
    const i64 outputs = i64(weights.shape(0)), k4 = i64(weights.shape(1)) / GROUP;
    const i8* packed = columns ? program.pack_columns(weights.data(), outputs, k4)
                               : program.pack(weights.data(), outputs, k4);
    return i64(reinterpret_cast<std::uintptr_t>(packed));
}

template <class T>
const T* constant(i64 address) { return reinterpret_cast<const T*>(std::uintptr_t(address)); }

void add_map(Program& program, int op, RefTuple x, RefTuple y, const LoopTuple& over, bool split) {
    program.add(MapArgs{Op(op), place(x), place(y), loop(over), split});
}

void add_encode(Program& program, RefTuple x, RefTuple y, const LoopTuple& over, float step, float lo, float hi) {
    program.add(EncodeArgs{place(x), place(y), loop(over), step, lo, hi});
}

void add_lif(Program& program, RefTuple x, RefTuple y, RefTuple v, RefTuple bias, RefTuple thresholds,
             const LoopTuple& over, NeuronTuple cell, i64 steps, i64 step_x, i64 step_y) {
    program.add(LifArgs{place(x), place(y), place(v), place(bias), place(thresholds), loop(over), neuron(cell), steps,
                        step_x, step_y});
}

// strides: an, ak, bk, bm, yn, ym
void add_matmul(Program& program, RefTuple a, RefTuple b, RefTuple y, const LoopTuple& over, i64 n, i64 k, i64 m,
                const Sizes& strides, bool small, bool large) {
    i64 by[6];
    put(by, strides);
    program.add(MatmulArgs{place(a), place(b), place(y), loop(over), n, k, m, by[0], by[1], by[2], by[3], by[4], by[5],
                            small, large});
}

// fan_in: weights, offsets, bias, columns (addresses, 0 for no columns), groups of a tap, k4, outputs, thresholds
// (address, 0 for sums).
// rows: row, runs, run_bytes, positions, rows, steps.  pool: kernel, stride, padding, size, two axes each; empty for none.
// lookup: offsets, axons, ends, shifts, sizes, taps (addresses), groups, segments, classes, rows, plane, run, counts; or empty.
void add_gemm(Program& program, int tail, RefTuple x, RefTuple y, RefTuple v, const Sizes& fan_in, const Sizes& rows,
              i64 step_y, i64 position_y, NeuronTuple cell, const Sizes& pool, const Sizes& lookup, bool small) {
    i64 fan[8], row[6], window[8] = {}, tables[13] = {};
    put(fan, fan_in);
    put(row, rows);
    if (!pool.empty()) put(window, pool);
    if (!lookup.empty()) put(tables, lookup);
    GemmArgs args{};
    args.x = place(x), args.y = place(y), args.v = place(v), args.tail = Tail(tail);
    args.weights = constant<i8>(fan[0]), args.offsets = constant<i32>(fan[1]), args.bias = constant<i32>(fan[2]);
    args.columns = constant<i8>(fan[3]), args.tap = fan[4], args.k4 = fan[5], args.outputs = fan[6];
    args.thresholds = constant<i32>(fan[7]);
    args.row = row[0], args.runs = row[1], args.run_bytes = row[2], args.positions = row[3];
    args.rows = row[4], args.steps = row[5];
    args.lookup = {constant<i32>(tables[0]), constant<i32>(tables[1]), constant<i32>(tables[2]), constant<i32>(tables[3]),
                   constant<i32>(tables[4]), constant<i32>(tables[5]), tables[6], tables[7], tables[8], tables[9],
                   tables[10], tables[11], tables[12] != 0};
    args.small = small, args.step_y = step_y, args.position_y = position_y, args.neuron = neuron(cell);
    i64* to[] = {args.pool.kernel, args.pool.stride, args.pool.padding, args.pool.size};
    for (int i = 0; i < 8; ++i) to[i / 2][i % 2] = window[i];
    program.add(args);
}

// Images and outputs: every array has the samples as its first axis.
std::vector<External> arrays(const ReadOnly& images, const std::vector<Writable>& outputs, i64 first, i64 samples) {
    if (samples < 1 || first < 0) throw std::invalid_argument("no samples");
    std::vector<External> externals;
    const auto add = [&](void* data, std::size_t count, std::size_t bytes) {
        if (count < std::size_t(first + samples)) throw std::invalid_argument("fewer samples in an array than to run");
        const i64 sample = i64(bytes / count);
        externals.push_back({static_cast<char*>(data) + first * sample, sample});
    };
    add(const_cast<void*>(images.data()), images.shape(0), images.nbytes());
    for (const Writable& output : outputs) add(output.data(), output.shape(0), output.nbytes());
    return externals;
}

void run(Program& program, const ReadOnly& images, const std::vector<Writable>& outputs, i64 first, i64 samples,
         i64 threads) {
    if (threads < 1) throw std::invalid_argument("no threads");
    const std::vector<External> externals = arrays(images, outputs, first, samples);
    nb::gil_scoped_release free;
    program.run(externals, samples, threads);
}

std::vector<double> profile(Program& program, const ReadOnly& images, const std::vector<Writable>& outputs) {
    return program.profile(arrays(images, outputs, 0, 1));
}

}  // namespace

constexpr int INTERFACE = 4;  // the same in backends/native/engine.py: one more whenever a call or its meaning changes

NB_MODULE(_engine, module) {
    module.doc() = "Kernels of the native backend; see neurodeploy.backends.native.";
    module.attr("INTERFACE") = INTERFACE;
    module.attr("OUTPUTS") = OUTPUTS;
    module.attr("GROUP") = GROUP;
    module.attr("AXONS") = AXONS;
    module.attr("LANES") = LANES;
    module.attr("LOOKUP_LANES") = LOOKUP_LANES;
    module.def("paths", &paths, "Processor paths that can run here, the fastest first.");
    nb::class_<Program>(module, "Program")
        .def(nb::init<const std::string&>(), "path"_a)
        .def("keep", &keep, "array"_a)
        .def("pack", &pack, "weights"_a, "columns"_a)
        .def("map", &add_map, "op"_a, "x"_a, "y"_a, "loop"_a, "split"_a)
        .def("encode", &add_encode, "x"_a, "y"_a, "loop"_a, "step"_a, "lo"_a, "hi"_a)
        .def("lif", &add_lif, "x"_a, "y"_a, "v"_a, "bias"_a, "thresholds"_a, "loop"_a, "neuron"_a,
             "steps"_a, "step_x"_a, "step_y"_a)
        .def("matmul", &add_matmul, "a"_a, "b"_a, "y"_a, "loop"_a, "n"_a, "k"_a, "m"_a, "strides"_a,
             "small"_a, "large"_a)
        .def("gemm", &add_gemm, "tail"_a, "x"_a, "y"_a, "v"_a, "fan_in"_a, "rows"_a, "step_y"_a, "position_y"_a,
             "neuron"_a, "pool"_a, "lookup"_a, "small"_a)
        .def("finish", &Program::finish, "arena"_a)
        .def_prop_ro("lookup_gain", &Program::lookup_gain,
                     "How many times as fast as the tile tables are, measured once; 0 where the path has none.")
        .def_prop_ro("scratch", &Program::scratch, "Bytes of scratch that each thread has.")
        .def_prop_ro("blocks", &Program::blocks, "Blocks of memory that were allocated until now.")
        .def("run", &run, "images"_a, "outputs"_a, "first"_a, "samples"_a, "threads"_a)
        .def("profile", &profile, "images"_a, "outputs"_a);
}
