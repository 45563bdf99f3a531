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

TAPS = 1 << 22  # axons that a convolution lays out at a time: 32 MB, unless one row of its map takes more


def encode(node: Node, images: NDArray[np.float32]) -> Int64:
    """clip(rint(x / step), lo, hi) in float32, rint to even; of the reference's own, as all its arithmetic."""
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

    The product runs in float64, which is exact: the interval proof keeps every sum below 2^53. Rows of the map go
    together only as far as TAPS allows.
    """
    weight = node.tensors["weight"].astype(np.float64)
    view = windows(x, weight.shape[2:], node, fill=0)
    if x.ndim == 2:
        return _sums(view, weight, node.integer("groups"), x.ndim)
    rows = max(1, TAPS * view.shape[2] // view.size)
    parts = (view[:, :, start : start + rows] for start in range(0, view.shape[2], rows))
    return np.concatenate([_sums(part, weight, node.integer("groups"), x.ndim) for part in parts], axis=2)


def _sums(view: NDArray[Any], weight: NDArray[np.float64], groups: int, rank: int) -> Int64:
    """[N, Ci, *S', *K] times [Co, Ci / groups, *K] to [N, Co, *S']."""
    taps = np.ascontiguousarray(np.moveaxis(view, 1, rank - 1), np.float64)
    taps = taps.reshape(-1, groups, weight[0].size)  # [N * S', groups, fan-in]
    rows = weight.reshape(groups, weight.shape[0] // groups, -1)
    sums = np.concatenate([taps[:, g] @ rows[g].T for g in range(groups)], axis=1)
    return np.moveaxis(sums.astype(np.int64).reshape(len(view), *view.shape[2:rank], -1), -1, 1)


def max_pool(node: Node, x: Int64) -> Int64:
    """The largest of each window, tap by tap; a padding of the least integer never wins."""
    kernel = node.integers("kernel")
    view = windows(x, kernel, node, fill=np.iinfo(np.int64).min)
    first, *others = (view[(slice(None),) * x.ndim + tap] for tap in np.ndindex(*kernel))
    largest: Int64 = first.copy()
    for tap in others:
        np.maximum(largest, tap, out=largest)
    return largest


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
