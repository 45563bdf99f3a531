"""The synapses of a crossbar one by one."""

from __future__ import annotations

from math import prod

import numpy as np

from neurodeploy.ir.mapped import ConvWeights, Crossbar, MappedGraph, SparseWeights, apply_views
from neurodeploy.numerics import Int64

Listed = tuple[Int64, Int64, Int64]  # target neuron, source neuron, weight with its exponent applied


def listed(graph: MappedGraph, crossbar: Crossbar) -> Listed:
    """Target, source and weight of every synapse, int64; none of weight zero, in order of the sources.

    An exponent below 0, which shifts what arrives to the right, is left to `shift`.
    """
    weights = crossbar.weights
    if isinstance(weights, ConvWeights):
        rows, cols, values = _convolution(weights, graph.by_name[crossbar.source].shape)
    else:
        rows, cols, values = weights.rows, weights.cols, weights.weights << max(weights.exponent, 0)
    order = np.lexsort((rows, cols))
    order = order[values[order] != 0]
    return rows[order], cols[order], values[order]


def shift(crossbar: Crossbar) -> int:
    """Bits by which what arrives is shifted to the right, rounding down; 0 for most crossbars."""
    return max(-crossbar.weights.exponent, 0) if isinstance(crossbar.weights, SparseWeights) else 0


def _convolution(weights: ConvWeights, shape: tuple[int, ...]) -> Listed:
    """Every tap that lies inside the image."""
    source = apply_views(np.arange(prod(shape)).reshape(shape), weights.in_views)  # [Ci, H, W]
    filters, depth, *kernel = weights.weight.shape
    out = [
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(source.shape[1:], weights.padding, kernel, weights.stride, strict=True)
    ]
    target = np.empty(filters * prod(out), np.int64)  # flat index of the convolution -> of the population
    target[apply_views(np.arange(target.size).reshape(filters, *out), weights.out_views).reshape(-1)] = np.arange(
        target.size
    )
    co, ci, ky, kx, oy, ox = np.ogrid[:filters, :depth, : kernel[0], : kernel[1], : out[0], : out[1]]
    y = oy * weights.stride[0] + ky - weights.padding[0]
    x = ox * weights.stride[1] + kx - weights.padding[1]
    inside = (y >= 0) & (y < source.shape[1]) & (x >= 0) & (x < source.shape[2])
    used = inside & (weights.weight[..., None, None] != 0)
    channel = co // (filters // weights.groups) * depth + ci
    full = used.shape
    co, channel, y, x, oy, ox = (np.broadcast_to(a, full)[used] for a in (co, channel, y, x, oy, ox))
    values = np.broadcast_to(weights.weight[..., None, None], full)[used].astype(np.int64)
    rows = target[(co * out[0] + oy) * out[1] + ox]
    return rows, np.asarray(source[channel, y, x], np.int64), values
