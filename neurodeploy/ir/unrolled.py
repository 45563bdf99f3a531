"""A convolution with shared weights, synapse by synapse."""

from __future__ import annotations

from math import prod

import numpy as np

from neurodeploy.ir.mapped import ConvWeights, SparseWeights, apply_views
from neurodeploy.ir.reach import plane
from neurodeploy.numerics import Int64


def image_of(weights: ConvWeights, shape: tuple[int, ...]) -> Int64:
    """Flat index of the source neuron at each place of the image, int64 [Ci, H, W]; shape: of the source."""
    return apply_views(np.arange(prod(shape)).reshape(shape), weights.in_views)


def result_of(weights: ConvWeights, image: tuple[int, ...]) -> Int64:
    """Flat index of the target neuron at each place of the result, int64 [Co, Ho, Wo]; image: [Ci, H, W]."""
    size = plane(weights, image)
    found = np.empty(prod(size), np.int64)
    found[apply_views(np.arange(found.size).reshape(size), weights.out_views).reshape(-1)] = np.arange(found.size)
    return found.reshape(size)


def unrolled(weights: ConvWeights, shape: tuple[int, ...]) -> SparseWeights:
    """Every tap that lies inside the image and weighs something; shape: of the source population."""
    source = image_of(weights, shape)
    target = result_of(weights, source.shape)
    filters, depth, *kernel = weights.weight.shape
    co, ci, ky, kx, oy, ox = np.ogrid[:filters, :depth, : kernel[0], : kernel[1], : target.shape[1], : target.shape[2]]
    y = oy * weights.stride[0] + ky - weights.padding[0]
    x = ox * weights.stride[1] + kx - weights.padding[1]
    inside = (y >= 0) & (y < source.shape[1]) & (x >= 0) & (x < source.shape[2])
    used = inside & (weights.weight[..., None, None] != 0)
    channel = co // (filters // weights.groups) * depth + ci
    co, channel, y, x, oy, ox = (np.broadcast_to(a, used.shape)[used] for a in (co, channel, y, x, oy, ox))
    values = np.broadcast_to(weights.weight[..., None, None], used.shape)[used].astype(np.int64)
    return SparseWeights(target[co, oy, ox], source[channel, y, x], values)
