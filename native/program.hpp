// A planned network: kernel calls in order, constants, and the memory of each thread.
#pragma once
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "plan.hpp"

namespace neurodeploy {

struct Kernels;

// The paths that were built and that this processor has, the fastest first.
std::vector<std::string> paths();

struct Free {
    void operator()(void* block) const noexcept;
};
using Block = std::unique_ptr<char, Free>;

// Zeroed memory on a 64-byte boundary. Throws std::bad_alloc.
Block allocate(std::size_t bytes);

// An array of the caller: `sample` bytes for each sample.
struct External {
    char* base;
    i64 sample;
};

class Program {
public:
    // Throws std::invalid_argument for a path that this processor does not have.
    explicit Program(const std::string& path);
    Program(const Program&) = delete;

    using Step = std::variant<MapArgs, EncodeArgs, LifArgs, MatmulArgs, GemmArgs>;
    // Makes room for what the call needs as scratch.
    void add(const Step& step);

    // A copy that lives as long as the program.
    const char* keep(const void* data, std::size_t bytes);

    // Weights int8 [outputs][k4 * 4] as tiles; see kernels/tile.hpp.
    const i8* pack(const i8* weights, i64 outputs, i64 k4);

    // The same as columns for the event path; see kernels/events.cpp.
    const i8* pack_columns(const i8* weights, i64 outputs, i64 k4);

    void finish(i64 arena) { arena_bytes_ = arena; }

    // How many times as fast as the tile the tables of kernels/lookup.hpp are; 0 where the path has none.
    double lookup_gain() const;

    // Bytes of scratch that each thread has.
    i64 scratch() const { return scratch_bytes_; }

    // Blocks of memory that were allocated until now, none of which is given back before the program's end.
    i64 blocks() const { return i64(constants_.size() + arenas_.size() + scratches_.size()); }

    // Runs `samples` samples on `threads` threads: one each, or all on one sample where there are fewer samples.
    // externals: the images, then the outputs. Calls from several threads wait for one another.
    // Throws std::bad_alloc where memory or threads do not suffice; nothing has run then, and nothing is allocated
    // once something runs.
    void run(const std::vector<External>& externals, i64 samples, i64 threads);

    // CPU seconds of each step for the first sample, on this thread.
    std::vector<double> profile(const std::vector<External>& externals);

private:
    struct Team;
    using Memory = std::vector<char*>;  // by Space
    void reserve(i64 arenas, i64 scratches);
    Memory memory(const std::vector<External>& externals, i64 arena, i64 scratch) const;
    void sample(const std::vector<External>& externals, i64 index, Memory& spaces, i64 part, Team& team,
                std::vector<double>* seconds = nullptr) const;

    const Kernels* kernels_;
    std::mutex running_;
    std::vector<Step> steps_;
    std::vector<Block> constants_, arenas_, scratches_;
    i64 arena_bytes_ = 0, scratch_bytes_ = 0;
};

}  // namespace neurodeploy
