"""The real Lava runtime: one operating-system process for each Lava process. For small networks."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from lava.magma.compiler.channels import pypychannel
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from numpy.typing import NDArray

from .build import LavaNetwork
from .record import Recorder

Progress = Callable[[int, int], None]
DESCRIPTORS_PER_PROCESS = 12
WATCH_SECONDS = 0.5
LOOK_SECONDS = 0.2


class Looking(threading.Condition):
    """A condition whose waiters look again by themselves.

    lava-nc 0.10.0's CspSelector can miss that a channel became ready (pypychannel.py: a sender's callback holds the
    semaphore that `probe` asks for, and then notifies nobody), and would wait for ever.
    """

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be notified, or for a moment."""
        return super().wait(LOOK_SECONDS if timeout is None else timeout)


def run(lava: LavaNetwork, recorder: Recorder, progress: Progress) -> None:
    """Run all time steps and record the spikes, the membranes and the logits.

    Membranes are read after every step through Var.get, one message for each neuron: tiny networks only.
    """
    _allow_descriptors(4 * len(lava.network.crossbars) + 4 * len(lava.processes))
    pypychannel.Condition = Looking  # before the processes are forked
    start = lava.processes[lava.network.source.name]
    done = threading.Event()
    try:
        start.create_runtime(Loihi2SimCfg(select_tag="fixed_pt"), compile_config={"pypy_channel_size": 2})
        threading.Thread(target=_watch, args=(start.runtime, done), daemon=True).start()
        membranes = _steps(lava, recorder, progress, start)
        sent = {name: sink.data.get() for name, sink in lava.sinks.items()}
    finally:
        done.set()
        hard_stop(start)
    for index in range(lava.total_steps):
        recorder.record(index, {name: values[..., index] for name, values in sent.items()}, membranes[index])


def _steps(lava: LavaNetwork, recorder: Recorder, progress: Progress, start: Any) -> list[dict[str, NDArray[np.int32]]]:
    """Run step by step; the membranes of the LIFs that are in a sample, for each step."""
    membranes = []
    progress(0, lava.total_steps)
    for step in range(lava.total_steps):
        start.run(condition=RunSteps(num_steps=1), run_cfg=None)
        due = [name for name in recorder.due(step) if name in recorder.lifs]
        membranes.append({name: lava.processes[name].v.get().astype(np.int32) for name in due})
        progress(step + 1, lava.total_steps)
    return membranes


def hard_stop(process: Any) -> None:
    """End all actors and free the shared memory; Lava's own stop() hangs after an exception in a model."""
    runtime = process.runtime
    infrastructure = runtime._messaging_infrastructure if runtime is not None else None
    if infrastructure is None:
        return
    for actor in infrastructure._actors:
        with suppress(ValueError):  # already closed
            if actor.is_alive():
                actor.terminate()
            multiprocessing.Process.join(actor, 5)
    infrastructure._actors.clear()
    infrastructure._smm.shutdown()
    runtime._is_started = runtime._is_running = False
    process._runtime = None


def _watch(runtime: Any, done: threading.Event) -> None:
    """Without this, an actor that was killed leaves the runtime waiting for ever."""
    actors = list(runtime._messaging_infrastructure._actors)
    while not done.wait(WATCH_SECONDS):
        if any(actor._popen is not None and actor.exitcode is not None for actor in actors) and not done.is_set():
            sys.stderr.write("a process of the Lava runtime ended early\n")
            sys.stderr.flush()
            os._exit(1)


def _allow_descriptors(processes: int) -> None:
    """Raise the soft limit of open files: the runtime keeps about ten for each process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_PER_PROCESS * processes + 256
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
