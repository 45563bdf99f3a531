"""CPU and wall seconds, and memory, of a process with all its threads and ended children."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Seconds = tuple[float, float]  # CPU, wall


def now() -> Seconds:
    """CPU seconds of this process, its threads and the children that have ended, and wall seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime, time.perf_counter()


def timed(run: Callable[[], T]) -> tuple[Seconds, T]:
    """What a call took, and what it gave."""
    start = now()
    given = run()
    end = now()
    return (end[0] - start[0], end[1] - start[1]), given


def peak_bytes() -> int:
    """The most memory that this process has held; unlike getrusage, nothing of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
