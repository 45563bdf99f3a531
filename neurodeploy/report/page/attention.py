"""Attention over the input: which tokens a Q-K mask lets pass, and which tokens SSA attends to.

QKFormer (Zhou et al., NeurIPS 2024, section 3.2): a token mask is what a LIF makes of the sum of Q over the channels of
a head; a channel mask, of the sum over tokens. Spikformer (Zhou et al., ICLR 2023, section 3.3): SSA is Q K^T V without
softmax; the attention that a token receives is its column of Q K^T, summed over the queries, which needs no N x N
matrix: sum_i q_i . k_j = (sum_i q_i) . k_j.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.verify import types
from neurodeploy.numerics import Int64

Kind = Literal["token mask", "channel mask", "SSA"]
WORDS: dict[Kind, str] = {
    "token mask": "heads and time steps in which the mask lets the token pass",
    "channel mask": "spikes of the token that pass the mask, over heads, channels and time steps",
    "SSA": "attention that the token receives: its column of Q Kᵀ, over queries, heads and time steps",
}


@dataclass(frozen=True)
class Attention:
    """One attention of the network whose tokens lie on a grid (h, w) over the image, row by row.

    reads: the values that `tokens` takes.  last: the one of them that the graph makes last.  axis: of the tokens, where
    a mask is read.
    """

    layer: str
    kind: Kind
    grid: tuple[int, int]
    reads: tuple[str, ...]
    last: str
    axis: int = -1

    @property
    def words(self) -> str:
        """What the number of a token counts."""
        return WORDS[self.kind]

    def tokens(self, *values: Int64) -> Int64:
        """A count a token [N], from the values of one sample and step."""
        if self.kind == "SSA":
            queries, keys = values  # [heads, N, d] and [heads, d, N]
            received = queries.sum(axis=-2, keepdims=True) @ keys  # [heads, 1, N]
            return np.asarray(received.reshape(-1, keys.shape[-1]).sum(axis=0), np.int64)
        axes = tuple(axis for axis in range(-values[0].ndim, 0) if axis != self.axis)
        return np.asarray(values[0].sum(axis=axes), np.int64)


def attentions(graph: Graph) -> tuple[Attention, ...]:
    """Every Q-K mask and SSA whose tokens lie on a grid that the network has elsewhere as the map of a convolution."""
    known, order = types(graph), {node.name: place for place, node in enumerate(graph.nodes)}
    maps = [value.shape[1:] for value in known.values() if len(value.shape) == 3]
    sides = {(h, w) for h, w in maps if _like(graph.image_shape, h, w)}
    grids = {h * w: (h, w) for h, w in sorted(sides)}
    found = [*_masks(graph, grids), *_products(graph, grids)]
    return tuple(sorted(found, key=lambda entry: order[entry.layer]))


def _like(image: tuple[int, ...], h: int, w: int) -> bool:
    """Whether a map has the image's proportions, and more than one token."""
    return h * w > 1 and h * image[-1] == w * image[-2]


def _masks(graph: Graph, grids: dict[int, tuple[int, int]]) -> Iterator[Attention]:
    known = types(graph)
    for node in graph.of("gate"):
        mask, shape = known[node.inputs[0]].shape, known[node.name].shape
        mask = (1,) * (len(shape) - len(mask)) + mask
        axes = [axis - len(shape) for axis, size in enumerate(shape) if size in grids]
        if not axes:
            continue
        axis = next((axis for axis in reversed(axes) if mask[axis] > 1), axes[-1])
        if mask[axis] > 1:
            yield Attention(node.name, "token mask", grids[shape[axis]], (node.inputs[0],), node.inputs[0], axis)
        else:
            yield Attention(node.name, "channel mask", grids[shape[axis]], (node.name,), node.name, axis)


def _products(graph: Graph, grids: dict[int, tuple[int, int]]) -> Iterator[Attention]:
    """SSA as two products, in either order: (Q K^T) V or Q (K^T V)."""
    known, order = types(graph), {node.name: place for place, node in enumerate(graph.nodes)}
    for node in graph.of("spike_matmul"):
        operands = _queries_and_keys(graph, node)
        if operands is None:
            continue
        queries, keys = (known[name].shape for name in operands)
        tokens = queries[-2]
        if tokens in grids and keys[-1] == tokens and keys[:-1] == (*queries[:-2], queries[-1]):
            yield Attention(node.name, "SSA", grids[tokens], operands, max(operands, key=order.__getitem__))


def _queries_and_keys(graph: Graph, node: Node) -> tuple[str, str] | None:
    """The values Q [.., N, d] and K^T [.., d, N] of the second product of an SSA."""
    left, right = (graph.by_name[name] for name in node.inputs)
    if left.op == "spike_matmul":
        return left.inputs[0], left.inputs[1]
    return (left.name, right.inputs[0]) if right.op == "spike_matmul" else None
