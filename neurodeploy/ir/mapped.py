"""The mapped graph: only what the chip has. Populations of neurons, and crossbars of synapses between them.

Timing (lava-nc 0.10.0): time steps count from 1; the source sends step 1 first; a crossbar adds 1 + delay steps, a
population none. The depth D of a population is the number of steps from the source, the same on all its inputs, so
sample s, step t (both from 0) of a population happens in time step `s * T + t + 1 + D`, and its membrane is reset
when a sample begins: `reset_interval = T`, `reset_offset = (1 + D) % T`.

Where attention is streamed (mapping/stream.py), a step of the network takes P = `period` time steps: a neuron of phase
n is busy in time step `(s * T + t) * P + 1 + D - n`, and silent in the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.types import Interval
from neurodeploy.numerics import NO_MEMORY

PopulationKind = Literal["source", "lif", "sum", "relu", "product", "max", "hold", "memory"]
CUSTOM: frozenset[PopulationKind] = frozenset({"max", "hold", "memory"})  # no stock Lava process
Port = Literal["a_in", "a_in1", "a_in2", "a_in3", "a_in4"]
PORTS: tuple[Port, ...] = ("a_in1", "a_in2", "a_in3", "a_in4")  # of neurons that keep their inputs apart
EVERY = -1  # the phase of neurons that send in each time step of a period
KEY, VALUE, QUERY = 1, 2, 4  # weights onto a memory: one accumulator tells the three spikes apart
NeuronChoice = Literal["stock", "custom"]
View = tuple[Literal["reshape", "permute", "slice"], tuple[int, ...]]  # a slice: (axis, start, stop)
Views = tuple[View, ...]
# the one with fewer products, (q k^T) v, q (k^T v), or q (k^T v) token by token in custom neurons; products of counts
# that are clipped, or of several value channels in one word (mapping/attention.py)
AttentionOrder = Literal[
    "auto", "qk", "kv", "stream", "qk-saturated", "kv-saturated", "qk-packed", "kv-packed",
    "qk-saturated-packed", "kv-saturated-packed",
]  # fmt: skip
Residual = Literal["graded", "spikes"]  # counts in neurons of their own, or the synapses of all readers once a term


def _sliced(array: NDArray[Any], dims: tuple[int, ...]) -> NDArray[Any]:
    axis, start, stop = dims
    return array.take(range(start, stop), axis=axis)


_VIEWS: Mapping[str, Callable[[NDArray[Any], tuple[int, ...]], NDArray[Any]]] = {
    "reshape": lambda array, shape: array.reshape(shape),
    "permute": lambda array, axes: array.transpose(axes),
    "slice": _sliced,
}


def apply_views(array: NDArray[Any], views: Views) -> NDArray[Any]:
    """Reshape, permute and slice an array, in order; the views of a crossbar's ports, free on the chip."""
    for kind, dims in views:
        array = _VIEWS[kind](array, dims)
    return array


@dataclass(frozen=True)
class Population:
    """Neurons of one kind that fire together.

    source   sends the encoded pixels of a sample in each of its T steps.
    lif      v = trunc0(v * (4096 - dv) / 4096) + (a << 6) + bias; fires 1 where v > vth << 6, then v = 0.
             With du below 4096, u = trunc0(u * (4096 - du) / 4096) + (a << 6) in place of a << 6.
             resets: u and v are cleared when a sample begins; a stateless one has dv = 4095, du = 4096 and no bias.
    sum      sends its input as a graded payload (GradedVec, vth = 0).
    relu     sends max(0, input) as a graded payload (GradedReluVec, vth = 0).
    product  sends input 1 times input 2 as a graded payload (ProdNeuron, vth = 0, exp = 0).

    Custom, which no stock Lava process is (backends/lava/runtime/custom):

    max      sends the largest of its 2 to 4 inputs, one a port, as a graded payload.
    hold     a lif that takes its input, leaks, fires and resets in the time steps of its phase alone, and keeps u and
             v in between.
    memory   counts, over a period, the steps in which KEY and VALUE come together; in the next period it sends that
             count in each step that has a QUERY.  Keys and values come one period before queries, which count as D.

    shape: of one time step.  interval: of what it sends.  depth: D, in time steps.  vth: weight units, 17 bit.
    bias_mant: int64, broadcasts to shape, 13 bit signed; bias = bias_mant << bias_exp in membrane units.
    phase: int64, broadcasts to shape: time steps, below the period, before the depth, in which a neuron is busy, or
    EVERY for all of these.
    value: the quantized graph's value that it computes ("" for a relay or a helper).
    """

    name: str
    kind: PopulationKind
    shape: tuple[int, ...]
    depth: int
    interval: Interval
    vth: int = 0
    dv: int = 0
    du: int = NO_MEMORY
    bias_mant: NDArray[np.int64] = field(default_factory=lambda: np.zeros((), np.int64))
    bias_exp: int = 0
    resets: bool = False
    phase: NDArray[np.int64] = field(default_factory=lambda: np.zeros((), np.int64))
    value: str = ""

    @property
    def size(self) -> int:
        """Neurons of the population."""
        return prod(self.shape)

    @property
    def custom(self) -> bool:
        """Whether no stock Lava process computes it."""
        return self.kind in CUSTOM

    @property
    def spiking(self) -> bool:
        """Whether it has a membrane and sends spikes."""
        return self.kind in ("lif", "hold")

    @property
    def phases(self) -> NDArray[np.int64]:
        """The phase of each neuron, int64 [size]."""
        return np.broadcast_to(self.phase, self.shape).reshape(-1)


@dataclass(frozen=True)
class SparseWeights:
    """Synapses one by one: neuron rows[i] of the target gets weights[i] * 2^exponent * axon cols[i] of the source.

    exponent: below 0 it shifts to the right, rounding down; then a neuron has one of these synapses at most.
    rows, cols: int64 flat indices in C order.  weights: int64 in -128..127, zeros left out, no pair twice.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    weights: NDArray[np.int64]
    exponent: int = 0


@dataclass(frozen=True)
class ConvWeights:
    """A convolution with shared weights; no delay.

    The source's neurons pass through in_views to become [Ci, H, W]; the result [Co, Ho, Wo] passes through out_views
    to take the target's shape.  weight: int64 [Co, Ci / groups, Kh, Kw] in -128..127, PyTorch's orientation
    (cross-correlation).  stride, padding: (vertical, horizontal).
    """

    weight: NDArray[np.int64]
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    in_views: Views
    out_views: Views


@dataclass(frozen=True)
class Crossbar:
    """Synapses from one population to one input port of another; takes 1 + delay time steps.

    early: it arrives so many time steps before the target's depth says: tokens one after another, the last one at the
    depth, or keys and values a period before the queries.
    late: it arrives so many time steps after the target's depth says: a delay of the network, of neurons that hear it
    only in the sample in which it was sent.
    """

    name: str
    source: str
    target: str
    weights: SparseWeights | ConvWeights
    port: Port = "a_in"
    delay: int = 0
    early: int = 0
    late: int = 0
    value: str = ""


@dataclass(frozen=True)
class Whole:
    """A layer whose neurons lie in several populations, one a threshold.

    shape: of the layer's neurons.  parts: (population, flat index in the layer of each of its neurons, int64 [size]).
    """

    shape: tuple[int, ...]
    parts: tuple[tuple[str, NDArray[np.int64]], ...]

    @property
    def size(self) -> int:
        """Neurons of the layer."""
        return prod(self.shape)

    def joined(self, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """[N, *shape] from the parts' own values [N, *], by population."""
        first = values[self.parts[0][0]]
        whole = np.empty((len(first), self.size), first.dtype)
        for name, members in self.parts:
            whole[:, members] = values[name].reshape(len(first), -1)
        return whole.reshape(len(first), *self.shape)


@dataclass(frozen=True)
class MappedGraph:
    """A network of populations and crossbars, for samples that stream back to back, T steps each.

    populations: in order of evaluation (a crossbar's source may come later only if no path needs it: there are no
    cycles).  output: the population whose payloads, summed over the T steps of a sample, plus bias, are the logits.
    views: value of the quantized graph -> (population, or one of `wholes`; views that give it the value's shape).
    wholes: layers of several thresholds, each of which is a population for every one of them.
    neurons: whether custom kinds may be in it.  period: time steps a step of the network takes.
    """

    name: str
    profile: str
    steps: int
    encoding: PixelCode
    populations: tuple[Population, ...]
    crossbars: tuple[Crossbar, ...]
    output: str
    output_bias: NDArray[np.int64]
    output_scale: float
    views: Mapping[str, tuple[str, Views]]
    neurons: NeuronChoice = "stock"
    period: int = 1
    wholes: Mapping[str, Whole] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, Population]:
        """Populations by name."""
        return {population.name: population for population in self.populations}

    @property
    def probed(self) -> tuple[str, ...]:
        """What can be probed: values of the quantized graph that LIF populations compute, in their order."""
        return tuple(dict.fromkeys(p.value for p in self.populations if p.spiking and p.value))

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one sample: that of the source, [T, *shape] for event frames."""
        frame = next(p.shape for p in self.populations if p.kind == "source")
        return (self.steps, *frame) if self.encoding.events else frame

    @property
    def depth(self) -> int:
        """Time steps from the source to the output."""
        return self.by_name[self.output].depth
