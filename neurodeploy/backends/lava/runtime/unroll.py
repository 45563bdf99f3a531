"""A convolution as synapses one by one: the same integers through stock Sparse, far faster than stock Conv."""

from __future__ import annotations

import os

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .network import Crossbar, Population, apply_views

Int = NDArray[np.int32]

# Stock Sparse keeps 8 bytes a synapse; a convolution that is being built takes three times as much for a moment.
SYNAPSE_LIMIT = 480_000_000
SYNAPSE_BYTES = 8
MEMORY_SHARE = 4  # unrolled synapses take at most this part of the machine's memory
BLOCK = 1 << 22  # synapses that are made at a time


def synapse_limit() -> int:
    """Synapses of unrolled convolutions that this machine holds."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(SYNAPSE_LIMIT, memory // (MEMORY_SHARE * SYNAPSE_BYTES))


def synapse_bound(crossbar: Crossbar, target: Population) -> int:
    """Synapses of the unrolled convolution, at most: each neuron of the target sees a whole kernel."""
    weight = crossbar.arrays["weight"]
    return target.size * int(np.prod(weight.shape[1:]))


def synapses_a_pair(crossbar: Crossbar, target: Population) -> float:
    """Synapses between one channel and another: the fewer, the more stock Conv loses, which calls SciPy a pair."""
    channels_out, channels_in = crossbar.arrays["weight"].shape[:2]
    return synapse_bound(crossbar, target) / float(channels_out * channels_in)


def unroll(crossbar: Crossbar, source: Population, target: Population) -> tuple[Int, Int, NDArray[np.int64]]:
    """Weights, their columns (flat source neuron) and where each row (flat target neuron) starts: a CSR matrix.

    Taps in the padding and weights of zero are left out.
    """
    weight = crossbar.arrays["weight"].astype(np.int32)
    patches = _patches(crossbar, source)  # [groups, places, taps]
    order = apply_views(np.arange(target.size).reshape(_result(crossbar, source)), crossbar.out_views).ravel()
    channels, places = np.divmod(order, patches.shape[1])
    taps = weight.reshape(len(weight), -1)
    groups = channels // (len(weight) // crossbar.groups)
    rows = max(1, BLOCK // taps.shape[1])
    weights, cols, counts = [], [], []
    for at in range(0, target.size, rows):
        part = slice(at, at + rows)
        seen, block = patches[groups[part], places[part]], taps[channels[part]]
        keep = (seen >= 0) & (block != 0)
        weights.append(block[keep])
        cols.append(seen[keep])
        counts.append(keep.sum(axis=1))
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return np.concatenate(weights), np.concatenate(cols), starts


def _result(crossbar: Crossbar, source: Population) -> tuple[int, int, int]:
    """[Co, Ho, Wo]: floor((n + 2 * padding - kernel) / stride) + 1 an axis."""
    weight = crossbar.arrays["weight"]
    image = apply_views(np.broadcast_to(np.int8(0), source.shape), crossbar.in_views).shape[1:]
    height, width = (
        (n + 2 * pad - k) // stride + 1
        for n, pad, k, stride in zip(image, crossbar.padding, weight.shape[2:], crossbar.stride, strict=True)
    )
    return weight.shape[0], height, width


def _patches(crossbar: Crossbar, source: Population) -> Int:
    """The flat source neuron of each tap: [groups, places of the result, taps], -1 in the padding."""
    index = apply_views(np.arange(source.size, dtype=np.int32).reshape(source.shape), crossbar.in_views)
    (up, left), (down, right) = crossbar.padding, crossbar.stride
    padded = np.pad(index, ((0, 0), (up, up), (left, left)), constant_values=-1)
    windows = sliding_window_view(padded, crossbar.arrays["weight"].shape[2:], axis=(1, 2))[:, ::down, ::right]
    grouped = windows.reshape(crossbar.groups, -1, *windows.shape[1:])  # [groups, Ci / groups, Ho, Wo, Kh, Kw]
    places = windows.shape[1] * windows.shape[2]
    patches: Int = grouped.transpose(0, 2, 3, 1, 4, 5).reshape(crossbar.groups, places, -1)
    return patches
