"""What each quantized op computes, exactly, on arrays [T, N, *shape]; values that never change have a T of 1.

The quantizer's own executor: it sees the integers that a layer will see, while the network is still being built.
Convolutions run in float32 where the proven sums stay below 2^24, else in float64: either way BLAS adds integers
exactly, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Node
from neurodeploy.ir.types import Interval, ValueType
from neurodeploy.numerics import Int64, Profile, lif_step
from neurodeploy.quantize.observe import through
from neurodeploy.quantize.unfold import convolve, in_parts

Array = NDArray[Any]
EXACT_FLOAT32 = 1 << 24
LIF_VALUES = 1 << 16  # neurons at a time: their int64 membranes stay in a core's cache


def evaluate(node: Node, inputs: Sequence[Array], known: ValueType, profile: Profile, steps: int) -> Array:
    """The values of a node, [T, N, *shape], in the least dtype that holds their proven interval.

    known: type of the value; of `encode`, the input is the images [T, N, *shape].
    """
    if node.op == "lif":
        return fired(node, inputs[0], profile, steps)
    exact = np.float32 if known.range.magnitude < EXACT_FLOAT32 else np.float64
    if node.op == "conv":
        return convolve(node, node.tensors["weight"], inputs[0], exact).astype(dtype_of(known.range))
    flat, lead = together(inputs, steps)
    return np.asarray(_OPS[node.op](node, *flat)).astype(dtype_of(known.range)).reshape(*lead, *known.shape)


def together(inputs: Sequence[Array], steps: int) -> tuple[list[Array], tuple[int, int]]:
    """Inputs with time and samples on one axis, and the lengths of both."""
    span = 1 if all(len(x) == 1 for x in inputs) else steps
    alike = [np.broadcast_to(x, (span, *x.shape[1:])) for x in inputs]
    return [x.reshape(-1, *x.shape[2:]) for x in alike], (span, inputs[0].shape[1])


def dtype_of(span: Interval) -> type[np.generic]:
    """The least dtype that holds an interval."""
    kinds: tuple[type[np.integer[Any]], ...] = (np.uint8, np.int8, np.int16, np.int32)
    return next((k for k in kinds if np.iinfo(k).min <= span.lo and span.hi <= np.iinfo(k).max), np.int64)


def fired(node: Node, x: Array, profile: Profile, steps: int) -> Array:
    """Spikes uint8 [T, N, *shape] of a LIF on currents."""
    spikes = np.empty((steps, *x.shape[1:]), np.uint8)
    for part in _few(x):
        for t, (out, _) in enumerate(membranes(node, x[:, part], profile, steps)):
            spikes[t, part] = out
    return spikes


def membranes(node: Node, x: Array, profile: Profile, steps: int) -> Iterator[tuple[Int64, Int64]]:
    """Spikes and membranes after each step, [N, *shape], in membrane units."""
    bias = node.tensors["bias_mant"].astype(np.int64) << node.integer("bias_exp")
    membrane = np.zeros(x.shape[1:], np.int64)
    for t in range(steps):
        activation = x[t % len(x)].astype(np.int64) << node.integer("weight_exp")
        out, membrane = lif_step(activation, membrane, bias, node.thresholds, node.integer("dv"), profile)
        yield out, membrane


def fired_by(units: Array, vth: Int64 | int, dv: int, profile: Profile, steps: int) -> Array:
    """Spikes uint8 [T, N, *shape] of membrane units, bias included, that reach neurons."""
    spikes, zero = np.empty((steps, *units.shape[1:]), np.uint8), np.zeros((), np.int64)
    for part in _few(units):
        membrane = np.zeros(units[0, part].shape, np.int64)
        for t in range(steps):
            given = units[t % len(units), part].astype(np.int64)
            out, membrane = lif_step(np.broadcast_to(zero, given.shape), membrane, given, vth, dv, profile)
            spikes[t, part] = out
    return spikes


def _few(x: Array) -> Iterator[slice]:
    return in_parts(x.shape[1], LIF_VALUES // max(1, x[0, :1].size))


def _encode(node: Node, images: Array) -> Array:
    codes = np.rint(images / np.float32(node.number("step")))
    return np.asarray(np.clip(codes, node.integer("lo"), node.integer("hi")))


def _aligned(mask: Array, spikes: Array) -> Array:
    return mask.reshape(len(mask), *(1,) * (spikes.ndim - mask.ndim), *mask.shape[1:])


def _pool(node: Node, x: Array) -> Array:
    return through([node], x.astype(np.float64))


def _reduce(node: Node, x: Array) -> Array:
    axes = tuple(axis + 1 for axis in node.integers("axes"))
    return np.asarray(x.sum(axis=axes, keepdims=bool(node.integer("keepdims")), dtype=np.int64))


_OPS: dict[str, Callable[..., Array]] = {
    "encode": _encode,
    "encode_events": _encode,
    "max_pool": _pool,
    "add": lambda node, a, b: a.astype(np.int64) + b,
    "gate": lambda node, mask, spikes: _aligned(mask, spikes) & spikes,
    "inhibit": lambda node, mask, spikes: spikes & (1 - _aligned(mask, spikes)),
    "spike_matmul": lambda node, a, b: a.astype(np.float64) @ b.astype(np.float64),
    "reduce_sum": _reduce,
    "reshape": lambda node, x: x.reshape(len(x), *node.integers("shape")),
    "permute": lambda node, x: x.transpose(0, *(axis + 1 for axis in node.integers("axes"))),
    "slice": lambda node, x: x.take(range(node.integer("start"), node.integer("stop")), node.integer("axis") + 1),
    "readout": lambda node, x: x,
}
