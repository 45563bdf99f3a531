"""What each quantized op computes, in NumPy, on int64 arrays [N, *shape] of one time step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neurodeploy.ir.graph import Node
from neurodeploy.numerics import Int64

Evaluate = Callable[..., Int64]


def encode(node: Node, images: NDArray[np.float32]) -> Int64:
    """clip(rint(x / step), lo, hi) in float32, rint to even."""
    codes = np.rint(images / np.float32(node.number("step")))
    return np.asarray(np.clip(codes, node.integer("lo"), node.integer("hi")), np.int64)


def windows(x: NDArray[Any], kernel: tuple[int, ...], node: Node, fill: int) -> NDArray[Any]:
    """[N, C, *S] -> [N, C, *S', *kernel]: the window of each output position, `fill` in the padding."""
    stride, padding = node.integers("stride"), node.integers("padding")
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=fill)
    axes = tuple(range(2, x.ndim))
    view = sliding_window_view(padded, kernel, axis=axes) if kernel else padded
    index = (slice(None), slice(None), *(slice(None, None, s) for s in stride))
    return np.asarray(view[index])


def conv(node: Node, x: Int64) -> Int64:
    """Sum of weight times axon over the fan-in.

    The product runs in float64, which is exact: the interval proof keeps every sum below 2^53.
    """
    weight, groups = node.tensors["weight"].astype(np.float64), node.integer("groups")
    view = windows(x.astype(np.float64), weight.shape[2:], node, fill=0)
    spatial = view.shape[2 : x.ndim]
    taps = np.moveaxis(view, 1, x.ndim - 1).reshape(-1, groups, weight[0].size)  # [N * S', groups, fan-in]
    rows = weight.reshape(groups, weight.shape[0] // groups, -1)
    sums = np.concatenate([taps[:, g] @ rows[g].T for g in range(groups)], axis=1)
    return np.moveaxis(sums.astype(np.int64).reshape(len(x), *spatial, -1), -1, 1)


def max_pool(node: Node, x: Int64) -> Int64:
    """The largest of each window; a padding of the least integer never wins."""
    view = windows(x, node.integers("kernel"), node, fill=np.iinfo(np.int64).min)
    return np.asarray(view.max(axis=tuple(range(x.ndim, view.ndim))))


def add(node: Node, a: Int64, b: Int64) -> Int64:
    """a + b."""
    return a + b


def gate(node: Node, mask: Int64, spikes: Int64) -> Int64:
    """mask AND spikes; the mask may have fewer axes, which are those at the end."""
    ones = (1,) * (spikes.ndim - mask.ndim)
    return mask.reshape(len(mask), *ones, *mask.shape[1:]) & spikes


def inhibit(node: Node, mask: Int64, spikes: Int64) -> Int64:
    """spikes AND NOT mask; the mask may have fewer axes, which are those at the end."""
    ones = (1,) * (spikes.ndim - mask.ndim)
    return spikes & (1 - mask.reshape(len(mask), *ones, *mask.shape[1:]))


def spike_matmul(node: Node, a: Int64, b: Int64) -> Int64:
    """Matrix product a head; in float64, exact by the interval proof (< 2^53)."""
    return np.asarray(a.astype(np.float64) @ b.astype(np.float64), np.int64)


def reduce_sum(node: Node, x: Int64) -> Int64:
    """Sum over axes, counted without the batch."""
    axes = tuple(axis + 1 for axis in node.integers("axes"))
    return np.asarray(x.sum(axis=axes, keepdims=bool(node.integer("keepdims"))))


def reshape(node: Node, x: Int64) -> Int64:
    """The same elements in C order."""
    return x.reshape(len(x), *node.integers("shape"))


def slice_(node: Node, x: Int64) -> Int64:
    """start..stop - 1 of one axis, counted without the batch."""
    return x.take(range(node.integer("start"), node.integer("stop")), axis=node.integer("axis") + 1)


def permute(node: Node, x: Int64) -> Int64:
    """The axes in another order."""
    return np.asarray(x.transpose(0, *(axis + 1 for axis in node.integers("axes"))))


STATELESS: dict[str, Evaluate] = {
    "conv": conv,
    "max_pool": max_pool,
    "add": add,
    "gate": gate,
    "inhibit": inhibit,
    "spike_matmul": spike_matmul,
    "reduce_sum": reduce_sum,
    "reshape": reshape,
    "slice": slice_,
    "permute": permute,
}
