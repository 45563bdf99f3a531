"""A float64 interpreter of traced graphs, for the tests alone; it shares nothing with the package's executors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from neurodeploy.ir.graph import Graph, Node

Tap = tuple[tuple[int, ...], np.ndarray]


def run_float(graph: Graph, images: np.ndarray) -> dict[str, np.ndarray]:
    """Every value of a graph, float64 [T, N, *shape], for images [N, C, H, W] or events [T, N, C, H, W].

    A mean over time is repeated T times.
    """
    values: dict[str, np.ndarray] = {}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        values[node.name] = _frames(graph, node, images) if not inputs else _one(node, inputs)
    return values


def _frames(graph: Graph, node: Node, images: np.ndarray) -> np.ndarray:
    """The same image at each step; events are steps already."""
    shape = (graph.steps, *images.shape[-len(node.integers("shape")) - 1 :])
    return np.broadcast_to(images.astype(np.float64), shape)


def _one(node: Node, inputs: list[np.ndarray]) -> np.ndarray:
    if node.op in _OVER_TIME:
        return _OVER_TIME[node.op](node, *inputs)
    # no state: the steps are as good as samples
    flat = _STATELESS[node.op](node, *(x.reshape(-1, *x.shape[2:]) for x in inputs))
    return flat.reshape(*inputs[0].shape[:2], *flat.shape[1:])


def _neuron(node: Node, x: np.ndarray) -> np.ndarray:
    decay, v, spikes = node.number("decay"), np.zeros_like(x[0]), []
    for step in x:
        v = v + (step - v) * decay if node.integer("decay_input") else v - v * decay + step
        spikes.append(v >= node.number("threshold"))
        v = np.where(spikes[-1], 0.0, v)
    return np.stack(spikes).astype(np.float64)


def _taps(node: Node, x: np.ndarray, kernel: tuple[int, ...], fill: float) -> Iterator[Tap]:
    """What each tap of a window sees: its index, and [N, C, *S']."""
    stride, padding = node.integers("stride"), node.integers("padding")
    sizes = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(x.shape[2:], kernel, stride, padding, strict=True)]
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=fill)
    for tap in np.ndindex(*kernel):
        part = tuple(slice(t, t + (n - 1) * s + 1, s) for t, n, s in zip(tap, sizes, stride, strict=True))
        yield tap, padded[(slice(None), slice(None), *part)]


def _conv(node: Node, x: np.ndarray) -> np.ndarray:
    groups, weight = node.integer("groups"), node.tensors["weight"].astype(np.float64)
    pairs = zip(np.split(x, groups, axis=1), np.split(weight, groups), strict=True)
    out = np.concatenate([_sums(node, part, kernels) for part, kernels in pairs], axis=1)
    return out + node.tensors["bias"].reshape(-1, *[1] * (x.ndim - 2)) if "bias" in node.tensors else out


def _sums(node: Node, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    seen = _taps(node, x, weight.shape[2:], 0.0)
    return sum(np.moveaxis(np.tensordot(view, weight[(..., *tap)], (1, 1)), -1, 1) for tap, view in seen)


def _max_pool(node: Node, x: np.ndarray) -> np.ndarray:
    return np.maximum.reduce([view for _, view in _taps(node, x, node.integers("kernel"), -np.inf)])


def _batchnorm(node: Node, x: np.ndarray) -> np.ndarray:
    column = (-1, *[1] * (x.ndim - 2))
    return x * node.tensors["scale"].reshape(column) + node.tensors["shift"].reshape(column)


def _reduce(node: Node, x: np.ndarray) -> np.ndarray:
    axes = tuple(axis + 1 for axis in node.integers("axes"))
    function = np.mean if node.op == "reduce_mean" else np.sum
    return np.asarray(function(x, axis=axes, keepdims=bool(node.integer("keepdims"))))


_OVER_TIME: Mapping[str, Callable[..., np.ndarray]] = {
    "neuron": _neuron,
    "time_mean": lambda node, x: np.broadcast_to(x.mean(axis=0), x.shape),
}
_STATELESS: Mapping[str, Callable[..., np.ndarray]] = {
    "conv": _conv,
    "batchnorm": _batchnorm,
    "max_pool": _max_pool,
    "reduce_sum": _reduce,
    "reduce_mean": _reduce,
    "add": lambda node, a, b: a + b,
    "mul": lambda node, a, b: a * b,
    "matmul": lambda node, a, b: a @ b,
    "complement": lambda node, x: 1.0 - x,
    "slice": lambda node, x: x.take(range(node.integer("start"), node.integer("stop")), axis=node.integer("axis") + 1),
    "scale": lambda node, x: x * node.number("factor"),
    "reshape": lambda node, x: x.reshape(len(x), *node.integers("shape")),
    "permute": lambda node, x: x.transpose(0, *(axis + 1 for axis in node.integers("axes"))),
}
