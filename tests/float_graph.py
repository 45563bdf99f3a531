"""A float64 interpreter of traced graphs, for the tests alone; it shares nothing with the package's executors."""

from __future__ import annotations

import numpy as np

from neurodeploy.ir.graph import Graph, Node


def run_float(graph: Graph, images: np.ndarray) -> dict[str, np.ndarray]:
    """Every value of a traced graph, float64 [T, N, *shape]; the output [N, classes]."""
    kept: dict[str, list[np.ndarray]] = {node.name: [] for node in graph.nodes}
    membrane: dict[str, np.ndarray] = {}
    for _ in range(graph.steps):
        values: dict[str, np.ndarray] = {}
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            values[node.name] = _one(node, inputs, images, membrane)
            kept[node.name].append(values[node.name])
    found = {name: np.stack(steps) for name, steps in kept.items()}
    found[graph.output] = found[graph.output].mean(axis=0)
    return found


def _one(node: Node, inputs: list[np.ndarray], images: np.ndarray, membrane: dict[str, np.ndarray]) -> np.ndarray:
    if node.op == "input":
        return images
    if node.op == "neuron":
        return _neuron(node, inputs[0], membrane)
    return _STATELESS[node.op](node, *inputs)


def _neuron(node: Node, x: np.ndarray, membrane: dict[str, np.ndarray]) -> np.ndarray:
    decay = node.number("decay")
    gain = decay if node.integer("decay_input") else 1.0
    v = membrane.get(node.name, np.zeros_like(x)) * (1 - decay) + gain * x
    spikes = v >= node.number("threshold")
    membrane[node.name] = np.where(spikes, 0.0, v)
    return spikes.astype(np.float64)


def _conv(node: Node, x: np.ndarray) -> np.ndarray:
    weight, stride, padding = node.tensors["weight"], node.integers("stride"), node.integers("padding")
    spatial, kernel = x.shape[2:], weight.shape[2:]
    sizes = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(spatial, kernel, stride, padding, strict=True)]
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    out = np.zeros((len(x), len(weight), *sizes))
    for tap in np.ndindex(*kernel):
        part = (slice(None), slice(None))
        part += tuple(slice(t, t + (n - 1) * s + 1, s) for t, n, s in zip(tap, sizes, stride, strict=True))
        out += np.einsum("nc...,oc->no...", padded[part], weight[(slice(None), slice(None), *tap)])
    if "bias" in node.tensors:
        out += node.tensors["bias"].reshape(-1, *[1] * len(sizes))
    return out


def _channelwise(node: Node, x: np.ndarray) -> np.ndarray:
    column = (-1, *[1] * (x.ndim - 2))
    return x * node.tensors["scale"].reshape(column) + node.tensors["shift"].reshape(column)


def _max_pool(node: Node, x: np.ndarray) -> np.ndarray:
    kernel, stride, padding = node.integers("kernel"), node.integers("stride"), node.integers("padding")
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=-np.inf)
    sizes = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(x.shape[2:], kernel, stride, padding, strict=True)]
    out = np.full((*x.shape[:2], *sizes), -np.inf)
    for tap in np.ndindex(*kernel):
        part = tuple(slice(t, t + (n - 1) * s + 1, s) for t, n, s in zip(tap, sizes, stride, strict=True))
        out = np.maximum(out, padded[(slice(None), slice(None), *part)])
    return out


def _reduce(node: Node, x: np.ndarray) -> np.ndarray:
    axes = tuple(axis + 1 for axis in node.integers("axes"))
    function = np.mean if node.op == "reduce_mean" else np.sum
    return np.asarray(function(x, axis=axes, keepdims=bool(node.integer("keepdims"))))


_STATELESS = {
    "conv": _conv,
    "batchnorm": _channelwise,
    "max_pool": _max_pool,
    "add": lambda node, a, b: a + b,
    "mul": lambda node, a, b: a * b,
    "matmul": lambda node, a, b: a @ b,
    "scale": lambda node, x: x * node.number("factor"),
    "reduce_sum": _reduce,
    "reduce_mean": _reduce,
    "reshape": lambda node, x: x.reshape(len(x), *node.integers("shape")),
    "permute": lambda node, x: x.transpose(0, *(axis + 1 for axis in node.integers("axes"))),
    "time_mean": lambda node, x: x,
}
