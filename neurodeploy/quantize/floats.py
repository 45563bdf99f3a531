"""The float network on calibration images, for what weights alone do not tell: how far a current reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Graph, Node
from neurodeploy.quantize.observe import Float, convolve, fire, through

Span = tuple[Float, Float]


def reaches(graph: Graph, names: set[str], images: NDArray[np.float32]) -> dict[str, Span]:
    """Least and largest value of each channel (axis 0) of some currents, float64 [C], on images one at a time.

    graph: traced, batch norms folded.  images: [N, C, H, W], or event frames [N, T, C, H, W].
    """
    found: dict[str, Span] = {}
    for image in images:
        for name, value in _values(graph, names, image):
            axes = (0, *range(2, value.ndim))
            low, high = value.min(axis=axes), value.max(axis=axes)
            before = found.get(name, (low, high))
            found[name] = (np.minimum(before[0], low), np.maximum(before[1], high))
    return found


def _values(graph: Graph, names: set[str], image: NDArray[np.float32]) -> Iterator[tuple[str, Float]]:
    """Name and value [T, *shape] of each current asked for; a value goes when its last reader has it."""
    held: dict[str, Float] = {}
    left = {node.name: len(graph.consumers[node.name]) for node in graph.nodes}
    wanted = set(names)
    for node in graph.nodes:
        if not wanted:
            return
        inputs = [held[name] for name in node.inputs]
        held[node.name] = _source(graph, node, image) if not node.inputs else _OPS[node.op](node, *inputs)
        for name in dict.fromkeys(node.inputs):
            left[name] -= 1
            if not left[name]:
                del held[name]
        if node.name in wanted:
            wanted.remove(node.name)
            yield node.name, held[node.name]


def value_of(node: Node, *inputs: Float) -> Float:
    """The value of a traced node but a neuron, whose inputs have time and samples on axis 0."""
    return _OPS[node.op](node, *inputs)


def _source(graph: Graph, node: Node, image: NDArray[np.float32]) -> Float:
    """The image at every step, or the frame of each."""
    return np.broadcast_to(image, (graph.steps, *node.integers("shape"))).astype(np.float64)


def _conv(node: Node, x: Float) -> Float:
    y = convolve(node, node.tensors["weight"], x)
    return y + node.tensors["bias"].reshape(-1, *[1] * (y.ndim - 2)) if "bias" in node.tensors else y


def _neuron(node: Node, x: Float) -> Float:
    gain = node.number("decay") if node.integer("decay_input") else 1.0
    return fire(x * gain, node.number("decay"), node.number("threshold")).astype(np.float64)


def _slice(node: Node, x: Float) -> Float:
    return x.take(range(node.integer("start"), node.integer("stop")), axis=node.integer("axis") + 1)


def _reduce(node: Node, x: Float) -> Float:
    axes = tuple(axis + 1 for axis in node.integers("axes"))
    total = x.sum(axis=axes, keepdims=bool(node.integer("keepdims")))
    return np.asarray(total / (x.size / total.size if node.op == "reduce_mean" else 1.0))


def _mul(node: Node, a: Float, b: Float) -> Float:
    rank = max(a.ndim, b.ndim)
    a, b = (x.reshape(len(x), *(1,) * (rank - x.ndim), *x.shape[1:]) for x in (a, b))
    return np.asarray(a * b)


def _view(node: Node, x: Float) -> Float:
    return through([node], x)


_OPS: dict[str, Callable[..., Float]] = {
    "conv": _conv,
    "neuron": _neuron,
    "max_pool": _view,
    "reshape": _view,
    "permute": _view,
    "slice": _slice,
    "add": lambda node, a, b: a + b,
    "mul": _mul,
    "matmul": lambda node, a, b: a @ b,
    "complement": lambda node, x: 1 - x,
    "scale": lambda node, x: x * node.number("factor"),
    "reduce_sum": _reduce,
    "reduce_mean": _reduce,
    "time_mean": lambda node, x: x,
}
