"""Unmodified stock process models, compiled by Lava's own compiler, run in one operating-system process.

Lava's runtime starts one process per Lava process and moves arrays through shared memory. Here a queue stands in for
each channel; the process models, their ports, transforms and casts are Lava's. A connection sends the sum of the last
step before it receives, so topological order keeps the timing: one step for each connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import networkx as nx
import numpy as np
from lava.magma.compiler.compiler import Compiler
from lava.magma.core.process.ports.ports import create_port_id
from lava.magma.core.run_configs import Loihi2SimCfg
from numpy.typing import NDArray

from .build import LavaNetwork
from .record import Recorder

Progress = Callable[[int, int], None]


class SendPort:
    """The sending end of a channel."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: Any, queue: deque[NDArray[Any]]) -> None:
        self.name = name
        self._shape, self._dtype, self._queue = shape, dtype, queue

    def send(self, data: NDArray[Any]) -> None:
        """Queue a copy, cast as the shared memory of a channel casts."""
        if data.shape != self._shape:
            raise ValueError(f"port {self.name} sends {data.shape}, its channel takes {self._shape}")
        self._queue.append(np.array(data, dtype=self._dtype))


class ReceivePort:
    """The receiving end of a channel."""

    def __init__(self, name: str, queue: deque[NDArray[Any]]) -> None:
        self.name = name
        self._queue = queue

    def recv(self) -> NDArray[Any]:
        """The oldest message."""
        return self._queue.popleft()


class Tap:
    """A second receiver on an output port, which keeps the last message."""

    name = "tap"

    def __init__(self) -> None:
        self.last: NDArray[Any] = np.zeros(0)

    def send(self, data: NDArray[Any]) -> None:
        """Keep the message; the models never write into one they sent, they make a new one."""
        self.last = data


def run(lava: LavaNetwork, recorder: Recorder, progress: Progress) -> None:
    """Run all time steps and record the spikes, the membranes and the logits."""
    models = _models(lava)
    taps = {name: Tap() for name in recorder.populations}
    for name, tap in taps.items():
        models[lava.processes[name]].s_out._csp_ports.append(tap)
    order = list(models.values())
    progress(0, lava.total_steps)
    for step in range(lava.total_steps):
        for model in order:
            model.time_step += 1
            model.run_spk()
        sent = {name: tap.last for name, tap in taps.items()}
        recorder.record(step, sent, {name: models[lava.processes[name]].v for name in recorder.lifs})
        progress(step + 1, lava.total_steps)


def _models(lava: LavaNetwork) -> Mapping[Any, Any]:
    """Process -> built process model, sources first."""
    start = lava.processes[lava.network.source.name]
    compiler = Compiler({"pypy_channel_size": 2})
    executable = compiler.compile(start, Loihi2SimCfg(select_tag="fixed_pt"))
    builders = executable.proc_builders
    graph = nx.DiGraph()
    graph.add_nodes_from(builders)
    for channel in executable.channel_builders:
        _open_channel(channel, builders)
        graph.add_edge(channel.src_process, channel.dst_process)
    return {process: builders[process].build() for process in nx.topological_sort(graph)}


def _open_channel(channel: Any, builders: Mapping[Any, Any]) -> None:
    """Two ends with one queue between them, in place of shared memory."""
    queue: deque[NDArray[Any]] = deque()
    source, target = channel.src_port_initializer, channel.dst_port_initializer
    send = SendPort(source.name, tuple(source.shape), source.d_type, queue)
    receive = ReceivePort(target.name, queue)
    builders[channel.src_process].set_csp_ports([send])
    builders[channel.dst_process].set_csp_ports([receive])
    port_id = create_port_id(channel.src_process.id, source.name)
    builders[channel.dst_process].add_csp_port_mapping(port_id, receive)
