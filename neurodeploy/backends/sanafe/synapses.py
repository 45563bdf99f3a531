"""The synapses of a crossbar one by one."""

from __future__ import annotations

import numpy as np

from neurodeploy.ir.mapped import ConvWeights, Crossbar, MappedGraph, SparseWeights
from neurodeploy.ir.unrolled import unrolled
from neurodeploy.numerics import Int64

Listed = tuple[Int64, Int64, Int64]  # target neuron, source neuron, weight with its exponent applied


def listed(graph: MappedGraph, crossbar: Crossbar) -> Listed:
    """Target, source and weight of every synapse, int64; none of weight zero, in order of the sources.

    An exponent below 0, which shifts what arrives to the right, is left to `shift`.
    """
    weights = crossbar.weights
    if isinstance(weights, ConvWeights):
        weights = unrolled(weights, graph.by_name[crossbar.source].shape)
    rows, cols, values = weights.rows, weights.cols, weights.weights << max(weights.exponent, 0)
    order = np.lexsort((rows, cols))
    order = order[values[order] != 0]
    return rows[order], cols[order], values[order]


def shift(crossbar: Crossbar) -> int:
    """Bits by which what arrives is shifted to the right, rounding down; 0 for most crossbars."""
    return max(-crossbar.weights.exponent, 0) if isinstance(crossbar.weights, SparseWeights) else 0
