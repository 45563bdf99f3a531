"""Float spikes of the layers that see the pixels, to choose by measured error how many bits they get."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neurodeploy.ir.graph import Node

Float = NDArray[np.float64]


def _windows(node: Node, x: Float, kernel: tuple[int, ...], fill: float) -> Float:
    padding, stride = node.integers("padding"), node.integers("stride")
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=fill)
    if not kernel:
        return padded
    view = sliding_window_view(padded, kernel, axis=tuple(range(2, x.ndim)))
    index = (slice(None), slice(None), *(slice(None, None, s) for s in stride))
    return np.asarray(view[index])


def convolve(node: Node, weight: NDArray[Any], x: Float) -> Float:
    """Convolution of [N, Ci, *S] with a weight [Co, Ci / groups, *K], float64; exact for integers below 2^53."""
    groups, rank = node.integer("groups"), x.ndim - 2
    views = np.split(_windows(node, x, weight.shape[2:], 0.0), groups, axis=1)
    axes = [1, *range(2 + rank, 2 + 2 * rank)]
    parts = [
        np.tensordot(view, part, axes=(axes, list(range(1, 2 + rank))))
        for view, part in zip(views, np.split(weight.astype(np.float64), groups), strict=True)
    ]
    return np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)


def through(path: list[Node], x: Float) -> Float:
    """Take a current [N, C, *S] through the max-pools and views between a convolution and its neuron."""
    for node in path:
        if node.op == "max_pool":
            x = _pooled(node, x)
        elif node.op == "reshape":
            x = x.reshape(len(x), *node.integers("shape"))
        else:
            x = x.transpose(0, *(axis + 1 for axis in node.integers("axes")))
    return x


def _pooled(node: Node, x: Float) -> Float:
    """The largest of each window, tap by tap: NumPy reduces many short axes ten times slower."""
    kernel = node.integers("kernel")
    view = _windows(node, x, kernel, -np.inf)
    first, *rest = (view[(slice(None),) * x.ndim + tap] for tap in np.ndindex(*kernel))
    largest: Float = first.copy(order="K")
    for tap in rest:
        np.maximum(largest, tap, out=largest)
    return largest


def fire(currents: Float, decay: float, threshold: float) -> NDArray[np.bool_]:
    """Spikes [T, *shape] of a float LIF, v = (1 - decay) v + current, currents [T, *shape]; fires at v >= threshold."""
    v = np.zeros_like(currents[0])
    spikes = []
    for current in currents:
        v = (1 - decay) * v + current
        spikes.append(v >= threshold)
        v = np.where(spikes[-1], 0.0, v)
    return np.stack(spikes)
