#include "program.hpp"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <thread>

#define ND_PATH portable  // of the table's declarations alone
#include "kernels/kernels.hpp"
#include "kernels/tile.hpp"

namespace neurodeploy {
namespace {

std::vector<const Kernels*> available() {
    std::vector<const Kernels*> found;
#ifdef ND_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni")) {
        found.push_back(&avx512::kernels);
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2")) {
        found.push_back(&avx2::kernels);
    }
#endif
    found.push_back(&portable::kernels);
    return found;
}

template <class... F>
struct Each : F... {
    using F::operator()...;
};
template <class... F>
Each(F...) -> Each<F...>;

double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

void wait(int round) {
    if (round > 1000) std::this_thread::yield();
}

// Bytes of scratch of a thread, as the kernels take them.
i64 scratch_of(const GemmArgs& args) {
    const bool pools = args.tail == Tail::pool_lif;
    const i64 row = OUTPUTS * i64(sizeof(i32));
    const i64 lines = pools ? args.pool.kernel[0] * args.positions + 1 : 2;  // and the largest; halves of a wide block
    i64 bytes = std::max(2 * STRIP_ROWS, lines * args.rows) * row;
    if (args.columns != nullptr && !args.lookup.counts) {  // at most half of the axons are listed, as u16
        bytes += std::max(EVENT_ROWS, args.rows) * (args.k4 * GROUP + i64(sizeof(i64))) + 128;
    }
    return args.lookup.groups ? std::max(bytes, portable::lookup_bytes(args)) : bytes;
}

i64 scratch_of(const MatmulArgs& args) {
    const i64 groups = (args.k + GROUP - 1) / GROUP, packed = groups * GROUP * (OUTPUTS + args.n);
    return packed + i64(sizeof(i32)) * (STRIP_ROWS * OUTPUTS + groups + args.n);
}

template <class Args>
i64 scratch_of(const Args&) { return 0; }

}  // namespace

std::vector<std::string> paths() {
    std::vector<std::string> names;
    for (const Kernels* kernels : available()) names.emplace_back(kernels->name);
    return names;
}

void Free::operator()(void* block) const noexcept { ::operator delete(block, std::align_val_t(64)); }

Block allocate(std::size_t bytes) {
    Block block(static_cast<char*>(::operator new(bytes + 64, std::align_val_t(64), std::nothrow)));
    if (!block) throw std::bad_alloc();
    std::memset(block.get(), 0, bytes + 64);
    return block;
}

// Threads that make the same calls, and wait for one another after each.
struct Program::Team {
    i64 size;
    std::atomic<i64> waiting{0};
    std::atomic<i64> round{0};

    explicit Team(i64 members) : size(members) {}

    void meet() {
        if (size == 1) return;
        const i64 now = round.load();
        if (waiting.fetch_add(1) + 1 == size) {
            waiting.store(0);
            round.store(now + 1);
            return;
        }
        for (int i = 0; round.load() == now; ++i) wait(i);
    }
};

Program::Program(const std::string& path) : kernels_(nullptr) {
    for (const Kernels* kernels : available()) {
        if (path == kernels->name) kernels_ = kernels;
    }
    if (kernels_ == nullptr) throw std::invalid_argument("this processor has no path " + path);
}

double Program::lookup_gain() const {
    static std::map<const Kernels*, double> measured;
    static std::mutex one;
    const std::lock_guard<std::mutex> hold(one);
    const auto found = measured.find(kernels_);
    if (found != measured.end()) return found->second;
    return measured[kernels_] = kernels_->lookup_gain();
}

void Program::add(const Step& step) {
    scratch_bytes_ = std::max(scratch_bytes_, std::visit([](const auto& args) { return scratch_of(args); }, step));
    steps_.push_back(step);
}

const char* Program::keep(const void* data, std::size_t bytes) {
    constants_.push_back(allocate(bytes));
    if (bytes > 0) std::memcpy(constants_.back().get(), data, bytes);
    return constants_.back().get();
}

const i8* Program::pack(const i8* weights, i64 outputs, i64 k4) {
    const i64 blocks = (outputs + OUTPUTS - 1) / OUTPUTS, row = k4 * GROUP;
    constants_.push_back(allocate(std::size_t(blocks * OUTPUTS * row)));
    i8* packed = reinterpret_cast<i8*>(constants_.back().get());
    for (i64 o = 0; o < outputs; ++o) {
        i8* to = packed + o / OUTPUTS * OUTPUTS * row + o % OUTPUTS * GROUP;
        for (i64 k = 0; k < k4; ++k) std::memcpy(to + k * OUTPUTS * GROUP, weights + o * row + k * GROUP, GROUP);
    }
    return packed;
}

const i8* Program::pack_columns(const i8* weights, i64 outputs, i64 k4) {
    const i64 blocks = (outputs + WIDE - 1) / WIDE, row = k4 * GROUP;
    constants_.push_back(allocate(std::size_t(blocks * WIDE * row)));
    i8* packed = reinterpret_cast<i8*>(constants_.back().get());
    for (i64 o = 0; o < outputs; ++o) {
        const i64 eight = o % OUTPUTS / 8;  // of the first or the other 32 outputs
        i8* to = packed + o / WIDE * WIDE * row + eight * 16 + o % WIDE / OUTPUTS * 8 + o % 8;
        for (i64 k = 0; k < row; ++k) to[k * WIDE] = weights[o * row + k];
    }
    return packed;
}

Program::Memory Program::memory(const std::vector<External>& externals, i64 arena, i64 scratch) const {
    Memory spaces(std::size_t(OUTPUT) + externals.size() - 1);
    spaces[ARENA] = arenas_[std::size_t(arena)].get();
    spaces[SCRATCH] = scratches_[std::size_t(scratch)].get();
    return spaces;
}

void Program::sample(const std::vector<External>& externals, i64 index, Memory& spaces, i64 part, Team& team,
                     std::vector<double>* seconds) const {
    spaces[IMAGE] = externals[0].base + index * externals[0].sample;
    for (std::size_t i = 1; i < externals.size(); ++i) {
        spaces[OUTPUT + i - 1] = externals[i].base + index * externals[i].sample;
    }
    const Each call{
        [&](const MapArgs& args) { kernels_->map(args, spaces.data(), part, team.size); },
        [&](const EncodeArgs& args) { kernels_->encode(args, spaces.data(), part, team.size); },
        [&](const LifArgs& args) { kernels_->lif(args, spaces.data(), part, team.size); },
        [&](const MatmulArgs& args) { kernels_->matmul(args, spaces.data(), part, team.size); },
        [&](const GemmArgs& args) { kernels_->gemm(args, spaces.data(), part, team.size); },
    };
    for (const Step& step : steps_) {
        const double start = seconds ? thread_seconds() : 0;
        std::visit(call, step);
        if (seconds) seconds->push_back(thread_seconds() - start);
        team.meet();
    }
}

void Program::reserve(i64 arenas, i64 scratches) {
    while (i64(arenas_.size()) < arenas) arenas_.push_back(allocate(std::size_t(arena_bytes_)));
    while (i64(scratches_.size()) < scratches) scratches_.push_back(allocate(std::size_t(scratch_bytes_)));
}

std::vector<double> Program::profile(const std::vector<External>& externals) {
    const std::lock_guard<std::mutex> one(running_);
    reserve(1, 1);
    Team alone(1);
    std::vector<double> seconds;
    Memory spaces = memory(externals, 0, 0);
    sample(externals, 0, spaces, 0, alone, &seconds);
    return seconds;
}

void Program::run(const std::vector<External>& externals, i64 samples, i64 threads) {
    const std::lock_guard<std::mutex> one(running_);
    const bool alone = samples >= threads;  // each thread has samples of its own
    reserve(alone ? threads : 1, threads);
    std::atomic<i64> next{0};
    Team team(threads);
    std::vector<Memory> spaces;  // all that a thread needs: one that runs has nobody to tell that memory is short
    for (i64 worker = 0; worker < threads; ++worker) {
        spaces.push_back(memory(externals, alone ? worker : 0, worker));
    }
    const auto work = [&](i64 worker) {
        Memory& own = spaces[std::size_t(worker)];
        if (!alone) {
            for (i64 i = 0; i < samples; ++i) sample(externals, i, own, worker, team);
            return;
        }
        Team one_thread(1);
        for (i64 i = next++; i < samples; i = next++) sample(externals, i, own, 0, one_thread);
    };
    std::atomic<int> go{0};  // 1: all threads are there; -1: one could not be started
    std::vector<std::thread> others;
    others.reserve(std::size_t(threads));
    const auto wait_and_work = [&](i64 worker) {
        for (int i = 0; go.load() == 0; ++i) wait(i);
        if (go.load() > 0) work(worker);
    };
    const auto join = [&] {
        for (std::thread& other : others) other.join();
    };
    try {
        for (i64 worker = 1; worker < threads; ++worker) others.emplace_back(wait_and_work, worker);
    } catch (...) {  // std::system_error for a thread, std::bad_alloc for its state
        go.store(-1);
        join();
        throw std::bad_alloc();
    }
    go.store(1);
    work(0);
    join();
}

}  // namespace neurodeploy
