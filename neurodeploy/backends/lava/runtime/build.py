"""The Lava processes of a network, stock ones unless it has custom neurons; measured with lava-nc 0.10.0."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from lava.proc.conv.process import Conv
from lava.proc.graded.process import GradedReluVec, GradedVec
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.prodneuron.process import ProdNeuron
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .network import Crossbar, Network, NetworkError, Population, Views
from .unroll import synapse_bound, synapse_limit, synapses_a_pair, unroll

CUSTOM = ("max", "hold", "memory")
GRADED = {"sum": GradedVec, "relu": GradedReluVec, "product": ProdNeuron}


@dataclass
class LavaNetwork:
    """The processes of a network, connected.

    sinks: population -> sink.RingBuffer; step t of sample s of a population at depth D is its index
    (s * T + t) * period + D, and its phase earlier.
    busy: process -> the time indices, from 0, in which a sample is in it. A connection is busy from the first message
    of its source to the last one to its target; outside, what it carries is the filling or emptying of the pipeline.
    late: Sparse process -> makes the weights that it has to be given before its first step; until then it has none.
    """

    network: Network
    samples: int
    total_steps: int
    processes: dict[str, Any] = field(default_factory=dict)
    sinks: dict[str, Any] = field(default_factory=dict)
    busy: dict[Any, range] = field(default_factory=dict)
    late: dict[Any, Callable[[], csr_matrix]] = field(default_factory=dict)

    def hold(self, process: Any, first: Population, last: Population) -> None:
        """Note when a process between two populations, or of one, is busy."""
        early = 2 * self.network.period if self.network.period > 1 else 0  # first tokens; a memory's keys and values
        self.busy[process] = range(max(0, first.depth - early), last.depth + self.samples * self.network.span)


def build(
    network: Network, frames: NDArray[np.int32], recorded: Iterable[str], sinks: bool, conv: str = "auto"
) -> LavaNetwork:
    """Processes for frames [N, T, *shape] that stream back to back, and enough steps for the recorded populations.

    sinks: whether recorded populations get a sink process each, as Lava's own runtime needs. The one-process runner
    taps their ports instead, and gives unrolled convolutions their weights late.
    conv: "shared" makes stock Conv, "unrolled" stock Sparse with the same integers, "auto" unrolls as many as
    memory allows, first those where stock Conv loses most.
    """
    recorded = sorted(recorded)
    last = max(network.populations[name].depth for name in recorded)
    lava = LavaNetwork(network, len(frames), len(frames) * network.span + last)
    stream = _stream(frames, network.period, lava.total_steps)
    for population in network.populations.values():
        process = _neurons(population, network, stream)
        lava.processes[population.name] = process
        lava.hold(process, population, population)
    unrolled = _choose_unrolled(network, conv)
    for crossbar in network.crossbars:
        _connect(lava, crossbar, crossbar.name in unrolled, late=not sinks)
    for name in recorded if sinks else ():
        sink = Sink(shape=network.populations[name].shape, buffer=lava.total_steps)
        lava.processes[name].s_out.connect(sink.a_in)
        lava.sinks[name] = sink
    return lava


def _stream(frames: NDArray[np.int32], period: int, total: int) -> NDArray[np.int32]:
    """All frames, time last, one a period; zeros between them and while the last sample leaves the pipeline."""
    flat = frames.reshape(-1, *frames.shape[2:])
    data = np.zeros((*flat.shape[1:], total), np.int32)
    data[..., : len(flat) * period : period] = np.moveaxis(flat, 0, -1)
    return data


def _neurons(population: Population, network: Network, stream: NDArray[np.int32]) -> Any:
    if population.kind == "source":
        return Source(data=stream)
    if population.kind in CUSTOM:
        return _custom(population, network)
    if population.kind in GRADED:
        # vth = 0 is explicit: the default of 1 drops payloads of -1 and 1.
        return GRADED[population.kind](shape=population.shape, vth=0, exp=0)
    fields = {
        "shape": population.shape,
        "du": population.du - 1,  # Lava's models add 1
        "dv": population.dv,
        "vth": population.vth,
        "bias_mant": np.broadcast_to(population.bias_mant, population.shape).copy(),
        "bias_exp": population.bias_exp,
    }
    if not population.resets:
        return LIF(**fields)
    return LIFReset(**fields, reset_interval=network.span, reset_offset=(1 + population.depth) % network.span)


def _custom(population: Population, network: Network) -> Any:
    """Neurons that stock Lava has not; a network without them does not bring their processes along."""
    from .custom import hold, maximum, memory

    if population.kind == "max":
        ports = {crossbar.port for crossbar in network.crossbars if crossbar.target == population.name}
        return maximum.Maximum(shape=population.shape, taps=len(ports))
    if population.kind == "memory":
        return memory.Memory(shape=population.shape, start=population.depth - network.period + 1, period=network.period)
    return hold.Hold(
        shape=population.shape,
        start=np.broadcast_to(population.depth - population.phase, population.shape).copy(),
        period=network.period,
        span=network.span,
        vth=population.vth,
        dv=population.dv,
        du=population.du,
        bias_mant=np.broadcast_to(population.bias_mant, population.shape).astype(np.int32),
        bias_exp=population.bias_exp,
    )


def _choose_unrolled(network: Network, conv: str) -> set[str]:
    convs = [crossbar for crossbar in network.crossbars if crossbar.kind == "conv"]
    if conv != "auto":
        return {crossbar.name for crossbar in convs} if conv == "unrolled" else set()
    targets = {c.name: network.populations[c.target] for c in convs}
    chosen, left = set(), synapse_limit()
    for crossbar in sorted(convs, key=lambda c: synapses_a_pair(c, targets[c.name])):
        size = synapse_bound(crossbar, targets[crossbar.name])
        if size <= left:
            chosen.add(crossbar.name)
            left -= size
    return chosen


def _connect(lava: LavaNetwork, crossbar: Crossbar, unrolled: bool, late: bool) -> None:
    source, target = (lava.network.populations[name] for name in (crossbar.source, crossbar.target))
    out, into = lava.processes[source.name].s_out, getattr(lava.processes[target.name], crossbar.port)
    if crossbar.kind == "conv" and not unrolled:
        synapses = _connect_conv(crossbar, source, out, into)
    else:
        synapses = _synapses(lava, crossbar, late)
        out.reshape((source.size,)).connect(synapses.s_in)
        synapses.a_out.reshape(target.shape).connect(into)
    lava.hold(synapses, source, target)


def _synapses(lava: LavaNetwork, crossbar: Crossbar, late: bool) -> Any:
    """Sparse synapses; those of a convolution may come late."""
    source, target = (lava.network.populations[name] for name in (crossbar.source, crossbar.target))
    if not (late and crossbar.kind == "conv"):
        return _sparse(crossbar, source, _matrix(crossbar, source, target))
    synapses = _sparse(crossbar, source, csr_matrix((target.size, source.size), dtype=np.int32))
    lava.late[synapses] = partial(_matrix, crossbar, source, target)
    return synapses


def _matrix(crossbar: Crossbar, source: Population, target: Population) -> csr_matrix:
    """Weights [target, source], doubled: mixed signs truncate them to even numbers, and `_sparse` halves the sums."""
    shape = (target.size, source.size)
    if crossbar.kind == "conv":
        matrix = csr_matrix(unroll(crossbar, source, target), shape, np.int32)
    else:
        rows, cols, weights = (crossbar.arrays[part] for part in ("rows", "cols", "weights"))
        matrix = csr_matrix((weights.astype(np.int32), (rows, cols)), shape, np.int32)
    matrix.data *= 2
    return matrix


def _sparse(crossbar: Crossbar, source: Population, matrix: csr_matrix) -> Any:
    """Sparse or DelaySparse of doubled weights."""
    # With 0 message bits stock Sparse slices columns for binary spikes; with 1 it multiplies: equal, 3 to 6x faster.
    bits = source.message_bits or 1
    rule = {"weight_exp": crossbar.exponent - 1, "num_message_bits": bits, "sign_mode": SignMode.MIXED}
    if not crossbar.delay:
        return Sparse(weights=matrix, **rule)
    delays = csr_matrix((np.full(matrix.nnz, crossbar.delay, np.int64), matrix.indices, matrix.indptr), matrix.shape)
    return DelaySparse(weights=matrix, delays=delays, max_delay=crossbar.delay, **rule)


def _connect_conv(crossbar: Crossbar, source: Population, out: Any, into: Any) -> Any:
    """Stock Conv convolves [W, H, C] tensors with kernels [Co, W, H, Ci]; ours correlates [C, H, W]."""
    weight = crossbar.arrays["weight"].astype(np.int32)
    out = _through(out, crossbar.in_views).transpose((2, 1, 0))
    conv = Conv(
        weight=weight.transpose(0, 3, 2, 1)[:, ::-1, ::-1, :].copy(),
        input_shape=out.shape,
        stride=crossbar.stride[::-1],
        padding=crossbar.padding[::-1],
        groups=crossbar.groups,
        num_message_bits=source.message_bits or 1,  # with 0 it makes booleans of spikes, which SciPy convolves slower
    )
    out.connect(conv.s_in)
    _through(conv.a_out.transpose((2, 1, 0)), crossbar.out_views).connect(into)
    return conv


def _through(port: Any, views: Views) -> Any:
    for kind, dims in views:
        if kind == "reshape":
            port = port.reshape(dims)
        elif kind == "permute":
            port = port.transpose(dims)
        else:
            raise NetworkError(f"a convolution reads all axons of its source, a {kind} of them is unknown here")
    return port
