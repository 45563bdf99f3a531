"""A convolution as synapses one by one: the same integers through stock Sparse, far faster than stock Conv."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .network import Crossbar, Population, apply_views

Int = NDArray[np.int32]

# Measured: a convolution of 42 million synapses, one weight in seven zero, takes 1.2 GB while Lava is built.
SYNAPSE_LIMIT = 48_000_000


def size_out(crossbar: Crossbar, height: int, width: int) -> tuple[int, int]:
    """Height and width of the result: floor((n + 2 * padding - kernel) / stride) + 1."""
    kernel = crossbar.arrays["weight"].shape[2:]
    sizes = [
        (n + 2 * pad - k) // stride + 1
        for n, pad, k, stride in zip((height, width), crossbar.padding, kernel, crossbar.stride, strict=True)
    ]
    return sizes[0], sizes[1]


def synapse_bound(crossbar: Crossbar, target: Population) -> int:
    """Synapses of the unrolled convolution, at most: each neuron of the target sees a whole kernel."""
    weight = crossbar.arrays["weight"]
    return target.size * int(np.prod(weight.shape[1:]))


def unroll(crossbar: Crossbar, source: Population, target: Population) -> tuple[Int, Int, Int]:
    """Rows (flat target neuron), cols (flat source neuron) and weights, int32, without zeros."""
    weight = crossbar.arrays["weight"].astype(np.int32)
    cols = apply_views(np.arange(source.size, dtype=np.int32).reshape(source.shape), crossbar.in_views)
    height, width = size_out(crossbar, *cols.shape[1:])
    rows = _rows(crossbar, (weight.shape[0], height, width))
    (up, left), (down, right) = crossbar.padding, crossbar.stride
    cols = np.pad(cols, ((0, 0), (up, up), (left, left)), constant_values=-1)
    shape = (crossbar.groups, weight.shape[0] // crossbar.groups, weight.shape[1], height, width)
    parts = []
    for y, x in np.ndindex(*weight.shape[2:]):
        seen = cols[:, y : y + down * height : down, x : x + right * width : right][:, :height, :width]
        tap = weight[:, :, y, x].reshape((*shape[:3], 1, 1))
        from_ = np.broadcast_to(seen.reshape(shape[0], 1, *shape[2:]), shape)
        to = np.broadcast_to(rows.reshape(shape[0], shape[1], 1, height, width), shape)
        keep = (tap != 0) & (from_ >= 0)
        parts.append((to[keep], from_[keep], np.broadcast_to(tap, shape)[keep]))
    out = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return out[0], out[1], out[2]


def _rows(crossbar: Crossbar, shape: tuple[int, int, int]) -> Int:
    """The flat target neuron of each element [Co, Ho, Wo] of the result."""
    size = int(np.prod(shape))
    order = apply_views(np.arange(size, dtype=np.int32).reshape(shape), crossbar.out_views).ravel()
    rows = np.empty(size, np.int32)
    rows[order] = np.arange(size, dtype=np.int32)
    return rows.reshape(shape)
