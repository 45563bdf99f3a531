"""Threshold groups on the chip: a population whose neurons have k thresholds becomes k populations, one a threshold.

A stock Lava LIF has one `vth`. The lowering makes one population of a layer, whatever its thresholds; here, where all
crossbars are known, it is taken apart, and so is every crossbar from and to it: each part of its source has synapses to
each part of its target. Depths and delays stay as they were, so every spike and membrane does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod

import numpy as np

from neurodeploy.ir.mapped import ConvWeights, Crossbar, MappedGraph, Population, SparseWeights, Whole
from neurodeploy.ir.unrolled import image_of, result_of, unrolled
from neurodeploy.mapping.builder import Joint
from neurodeploy.numerics import Int64

Shape = tuple[int, ...]
Weights = SparseWeights | ConvWeights


@dataclass(frozen=True)
class Parts:
    """A population in parts.  members: of each part, its neurons' flat indices in the whole, in the part's own order.

    Nothing is listed of a population that stays whole: it may have a hundred million neurons.
    """

    populations: tuple[Population, ...]
    members: tuple[Int64, ...] = ()
    channels: tuple[tuple[int, int], ...] = ()  # (stride, size) of the axes along which thresholds differ

    @cached_property
    def part(self) -> Int64:
        """The number of the part of each neuron of the whole."""
        found = np.zeros(sum(p.size for p in self.populations), np.int64)
        for number, own in enumerate(self.members):
            found[own] = number
        return found

    @cached_property
    def place(self) -> Int64:
        """Where in its part each neuron of the whole is, as a flat index."""
        found = np.arange(sum(p.size for p in self.populations))
        for own in self.members:
            found[own] = np.arange(own.size)
        return found

    def whole(self, shape: tuple[int, ...]) -> Whole:
        """Where the neurons of a layer of this shape are."""
        return Whole(shape, tuple(zip((p.name for p in self.populations), self.members, strict=True)))

    def moves(self, size: int, move: int) -> bool:
        """Whether a loop of the whole moves along its channels."""
        reach = (size - 1) * move
        return any(move % (stride * n) and reach >= stride for stride, n in self.channels)

    def step(self, first: int, size: int, move: int) -> int | None:
        """How far a loop that stays in its channels moves within the part; None where that is no one distance."""
        if size == 1 or move == 0:
            return 0
        places = self.place[first + np.arange(size) * move]
        step = int(places[1] - places[0])
        return step if (np.diff(places) == step).all() else None


def split(graph: MappedGraph, thresholds: Mapping[str, Int64]) -> MappedGraph:
    """The graph with one population a threshold; thresholds: population -> vth that broadcasts to its shape."""
    if not thresholds:
        return graph
    parts = {p.name: parts_of(p, thresholds.get(p.name)) for p in graph.populations}
    return replace(
        graph,
        populations=tuple(part for own in parts.values() for part in own.populations),
        crossbars=tuple(piece for crossbar in graph.crossbars for piece in _pieces(crossbar, graph, parts)),
        wholes={name: parts[name].whole(graph.by_name[name].shape) for name in thresholds},
    )


def parts_of(whole: Population, thresholds: Int64 | None) -> Parts:
    """The parts, lowest threshold first; one of shape [neurons along the axes of thresholds, *other axes]."""
    if thresholds is None:
        return Parts((whole,))
    own = tuple(axis for axis, size in enumerate(thresholds.shape) if size > 1)
    index = _front(np.arange(whole.size).reshape(whole.shape), own)
    values = _front(thresholds, own).reshape(-1)
    bias = whole.bias_mant.reshape((1,) * (len(whole.shape) - whole.bias_mant.ndim) + whole.bias_mant.shape)
    wide = [n if axis in own else bias.shape[axis] for axis, n in enumerate(whole.shape)]
    biases = _front(np.broadcast_to(bias, wide), own)
    populations, members = [], []
    for vth in np.unique(values):
        chosen = values == vth
        members.append(index[chosen].reshape(-1))
        fields = {"shape": index[chosen].shape, "vth": int(vth), "bias_mant": biases[chosen]}
        populations.append(replace(whole, name=f"{whole.name}/vth{vth}", **fields))
    channels = tuple((prod(whole.shape[axis + 1 :]), whole.shape[axis]) for axis in own)
    return Parts(tuple(populations), tuple(members), channels)


def _front(array: Int64, axes: tuple[int, ...]) -> Int64:
    """The axes merged into one, in front of the others."""
    moved = np.moveaxis(array, axes, range(len(axes)))
    return moved.reshape(-1, *moved.shape[len(axes) :])


def _pieces(crossbar: Crossbar, graph: MappedGraph, parts: Mapping[str, Parts]) -> Iterator[Crossbar]:
    """A crossbar from each part of its source to each of its target; none without synapses, if another is there."""
    source, target = parts[crossbar.source], parts[crossbar.target]
    if len(source.populations) == len(target.populations) == 1:
        yield crossbar
        return
    for (p, q), weights in _sliced(crossbar.weights, graph.by_name[crossbar.source].shape, source, target).items():
        of, onto = source.populations[p].name, target.populations[q].name
        yield replace(crossbar, name=renamed(crossbar, of, onto), source=of, target=onto, weights=weights)


def _sliced(weights: Weights, shape: Shape, source: Parts, target: Parts) -> dict[tuple[int, int], Weights]:
    """(part of the source, part of the target) -> the weights between them; shape: of the source."""
    found: dict[tuple[int, int], Weights] = {}
    if isinstance(weights, ConvWeights):
        found |= _shared(weights, shape, source, target)
        weights = weights if found else unrolled(weights, shape)
    if isinstance(weights, SparseWeights):
        found |= _listed(weights, source, target)
    heard = {q for (_, q), one in found.items() if not _empty(one)}
    return {(p, q): one for (p, q), one in found.items() if not _empty(one) or (p == 0 and q not in heard)}


def _empty(weights: Weights) -> bool:
    return isinstance(weights, SparseWeights) and not weights.weights.size


def renamed(crossbar: Crossbar | Joint, source: str, target: str) -> str:
    """The name of a crossbar between parts."""
    return f"{source}->{target}" + crossbar.name.removeprefix(f"{crossbar.source}->{crossbar.target}")


def _listed(weights: SparseWeights, source: Parts, target: Parts) -> Iterator[tuple[tuple[int, int], SparseWeights]]:
    """The synapses from each part of the source to each of the target."""
    of, onto = source.part[weights.cols], target.part[weights.rows]
    for p, q in product(range(len(source.populations)), range(len(target.populations))):
        kept = (of == p) & (onto == q)
        rows, cols = target.place[weights.rows[kept]], source.place[weights.cols[kept]]
        yield (p, q), SparseWeights(rows, cols, weights.weights[kept], weights.exponent)


def _shared(
    weights: ConvWeights, shape: Shape, source: Parts, target: Parts
) -> Iterator[tuple[tuple[int, int], ConvWeights]]:
    """(part of the source, part of the target) -> the channels of the convolution between them.

    Nothing where it has several groups, or where a part is not made of channels in the order of the convolution: its
    weights are shared no more then.
    """
    image = image_of(weights, shape)
    inputs, outputs = _channels(image, source), _channels(result_of(weights, image.shape), target)
    if inputs is None or outputs is None or weights.groups > 1:
        return
    for (p, of), (q, onto) in product(enumerate(inputs), enumerate(outputs)):
        yield (
            (p, q),
            replace(
                weights,
                weight=weights.weight[np.ix_(onto, of)],
                in_views=weights.in_views if len(inputs) == 1 else (("reshape", (len(of), *image.shape[1:])),),
                out_views=weights.out_views if len(outputs) == 1 else (("reshape", target.populations[q].shape),),
            ),
        )


def _channels(image: Int64, parts: Parts) -> list[Int64] | None:
    """The channels of an image [C, H, W] of neurons that each part holds, in this very order; None if it does not."""
    number, found = parts.part[image].reshape(len(image), -1), []
    if (number != number[:, :1]).any():
        return None
    for part, population in enumerate(parts.populations):
        channels = np.flatnonzero(number[:, 0] == part)
        places = parts.place[image[channels]].reshape(-1)
        if len(parts.populations) > 1 and not np.array_equal(places, np.arange(population.size)):
            return None
        found.append(channels)
    return found
