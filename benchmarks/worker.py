"""A process for each peer: loads the network, then runs it whenever it is asked, alone in its memory and CPU time."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from numpy.typing import NDArray

from benchmarks.clock import Seconds, peak_bytes, timed
from benchmarks.networks import Files
from benchmarks.peers import PEERS
from neurodeploy.errors import NeurodeployError

SHORTEST = 0.25  # wall seconds of a measurement, in which a quick peer runs several times
LONGEST = 200  # characters of a reason
FAILURES = (ImportError, RuntimeError, ValueError, OSError, MemoryError, NeurodeployError)
SPAWN = get_context("spawn")  # nothing of the parent's memory or threads


@dataclass(frozen=True)
class Ready:
    """A peer that has run once: wall seconds of loading and of the first run, its logits, the version."""

    load: float
    first: float
    logits: NDArray[Any]
    runtime: str


@dataclass(frozen=True)
class Absent:
    """A peer that was not measured, and why."""

    reason: str


def serve(pipe: Connection, peer: str, files: Files, batch: int, threads: int) -> None:
    """Load, say so, then answer each True with the seconds an image, and False with the peak of memory, in bytes."""
    try:
        loading, loaded = timed(lambda: PEERS[peer].load(files, batch, threads))
        first, logits = timed(loaded.run)
        warm, _ = timed(loaded.run)
    except FAILURES as error:
        pipe.send(Absent(" ".join([f"{type(error).__name__}:", *str(error).split()])[:LONGEST]))
        return
    pipe.send(Ready(loading[1], first[1], logits, loaded.runtime))
    calls = max(1, math.ceil(SHORTEST / warm[1]))
    while pipe.recv():
        taken, _ = timed(lambda: [loaded.run() for _ in range(calls)])
        images = calls * loaded.repeats * batch
        pipe.send(tuple((spent - calls * idle) / images for spent, idle in zip(taken, loaded.idle, strict=True)))
    pipe.send(peak_bytes())


class Worker:
    """The parent's end of such a process."""

    def __init__(self, peer: str, files: Files, batch: int, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # before the child imports numpy and torch
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=serve, args=(theirs, peer, files, batch, threads), daemon=True)
        self._process.start()
        theirs.close()

    def ready(self, limit: float) -> Ready | Absent:
        """Wait for the peer to have run once. What takes more than `limit` seconds, or dies, is absent."""
        if not self._pipe.poll(limit):
            self.stop()
            return Absent(f"not ready after {limit:.0f} s")
        return self._receive()

    def measure(self) -> Seconds | Absent:
        """CPU and wall seconds an image."""
        return self._ask(True)

    def finish(self) -> int | Absent:
        """End it; the peak of its memory in bytes."""
        return self._ask(False)

    def _ask(self, again: bool) -> Any:
        try:
            self._pipe.send(again)
        except BrokenPipeError:
            return Absent("its process ended")
        return self._receive()

    def _receive(self) -> Any:
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return Absent(f"its process ended with code {self._process.exitcode}")

    def stop(self) -> None:
        """End it, whatever it does."""
        self._process.terminate()
        self._process.join()
