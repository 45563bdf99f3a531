"""Memory that runs short anywhere in a run is a MemoryError, and never the end of the process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMPILER = shutil.which("c++")
# The C++ allocations of the process. From the first one of an arena on, the one that is counted down to fails:
# before, the bindings take their arguments, which is not the engine's own code.
SHORT = """
#include <atomic>
#include <cstdlib>
#include <new>
static std::atomic<long> left{-1}, armed{-1};
extern "C" void fail_after(long n) { armed = n, left = -1; }
static bool fails() { return left.load() >= 0 && left.fetch_sub(1) == 0; }
void* operator new(std::size_t n) {
    if (void* block = fails() ? nullptr : std::malloc(n ? n : 1)) return block;
    throw std::bad_alloc();
}
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
    if (armed.load() >= 0) left = armed.exchange(-1);
    const std::size_t unit = std::size_t(a);
    return fails() ? nullptr : std::aligned_alloc(unit, (n + unit - 1) / unit * unit);
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
"""
RUN = """
import ctypes, sys
import numpy as np
from neurodeploy.backends.native import engine
from neurodeploy.backends.native.plan import plan
from neurodeploy.ir.samples import random_graph, random_images
graph = random_graph(12)
count, threads = int(sys.argv[1]), 4
images, fail_after = random_images(graph, count, 1), ctypes.CDLL(sys.argv[2]).fail_after
name, shape, kind = plan(graph, (), engine.path()).outputs[0]
wanted, found = np.zeros((count, *shape), kind), np.zeros((count, *shape), kind)
plan(graph, (), engine.path()).program.run(images, [wanted], 0, count, threads)
short = 0
for allowed in range(1000):
    program = plan(graph, (), engine.path()).program
    fail_after(allowed)
    try:
        program.run(images, [found], 0, count, threads)
        break
    except MemoryError:
        short += 1
    finally:
        fail_after(-1)
assert np.array_equal(wanted, found)
print(short)
"""


@pytest.mark.skipif(COMPILER is None or sys.platform != "linux", reason="no C++ compiler, or no LD_PRELOAD")
@pytest.mark.parametrize("samples", [9, 2])
def test_every_allocation_of_a_run_may_fail(samples: int, tmp_path: Path) -> None:
    source, library = tmp_path / "short.cpp", tmp_path / "short.so"
    source.write_text(SHORT)
    subprocess.run([str(COMPILER), "-std=c++17", "-shared", "-fPIC", "-o", library, source], check=True)
    command = [sys.executable, "-c", RUN, str(samples), str(library)]
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 3 * 3  # at the least a vector, the state and the memory of each other thread
