"""Unmodified stock process models, compiled by Lava's own compiler, run in one operating-system process.

Lava's runtime starts one process per Lava process and moves arrays through shared memory. Here a queue stands in for
each channel; the process models, their ports, transforms and casts are Lava's. A connection sends the sum of the last
step before it receives, so topological order keeps the timing: one step for each connection.

A process runs only in the steps in which a sample is in it: before, the pipeline fills, after, it empties, and what is
computed there nobody reads. Two samples of a network 59 steps deep, T = 4, take 67 steps, of which each process runs 8
or little more.
"""

from __future__ import annotations

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


class Channel:
    """Shared memory of one message: read in the step in which it was sent, or never."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self._dtype = shape, dtype
        self._message: NDArray[Any] | None = None

    def put(self, data: NDArray[Any]) -> None:
        """Keep a copy, cast as the shared memory of a channel casts; what nobody has read is gone."""
        self._message = np.array(data, dtype=self._dtype)

    def take(self) -> NDArray[Any]:
        """The message; zeros while the sender rests."""
        message, self._message = self._message, None
        return np.zeros(self.shape, self._dtype) if message is None else message


class SendPort:
    """The sending end of a channel."""

    def __init__(self, name: str, channel: Channel) -> None:
        self.name = name
        self._channel = channel

    def send(self, data: NDArray[Any]) -> None:
        """Send what has the channel's shape."""
        if data.shape != self._channel.shape:
            raise ValueError(f"port {self.name} sends {data.shape}, its channel takes {self._channel.shape}")
        self._channel.put(data)


class ReceivePort:
    """The receiving end of a channel."""

    def __init__(self, name: str, channel: Channel) -> None:
        self.name = name
        self._channel = channel

    def recv(self) -> NDArray[Any]:
        """The message of this step."""
        return self._channel.take()


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
    progress(0, lava.total_steps)
    for step in range(lava.total_steps):
        for process, model in models.items():
            _step(lava, process, model, step)
        sent = {name: tap.last for name, tap in taps.items()}
        recorder.record(step, sent, {name: models[lava.processes[name]].v for name in recorder.lifs})
        progress(step + 1, lava.total_steps)


def _step(lava: LavaNetwork, process: Any, model: Any, step: int) -> None:
    """One step of a process, if it is busy; unrolled synapses come before the first and go after the last."""
    busy = lava.busy[process]
    if step == busy.start and process in lava.late:
        model.weights = lava.late[process]()
    if step in busy:
        model.time_step = step + 1
        model.run_spk()
    if step == busy.stop and process in lava.late:
        model.weights = None


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


def _open_channel(link: Any, builders: Mapping[Any, Any]) -> None:
    """Two ends with one channel between them, in place of shared memory."""
    source, target = link.src_port_initializer, link.dst_port_initializer
    channel = Channel(tuple(source.shape), source.d_type)
    receive = ReceivePort(target.name, channel)
    builders[link.src_process].set_csp_ports([SendPort(source.name, channel)])
    builders[link.dst_process].set_csp_ports([receive])
    port_id = create_port_id(link.src_process.id, source.name)
    builders[link.dst_process].add_csp_port_mapping(port_id, receive)
