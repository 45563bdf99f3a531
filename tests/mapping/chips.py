"""Targets with limits of the test's own, and what a tile needs, recounted synapse by synapse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod

import numpy as np

from neurodeploy.ir.chip import ChipNetwork, Cut, Filters, Nest, Neurons, Synapses, Tile, Tiling, Use
from neurodeploy.ir.types import BINARY
from neurodeploy.mapping.tile_cut import Measure
from neurodeploy.mapping.tile_inputs import Input
from neurodeploy.targets import Fact, Target, load_target
from tests.ir.test_chip import listed

Taken = tuple[int, int, int, object]  # target neuron, axon, chunk of the fan-in, weight's entry


def chip(name: str, **facts: object) -> Target:
    """A target with other numbers: table__key=value, None for absent."""
    target = load_target(name)
    tables = {table: dict(held) for table, held in target.facts.items()}
    for where, value in facts.items():
        table, key = where.split("__")
        status = "absent" if value is None else "assumed"
        tables[table][key] = Fact(tables[table][key].unit, "a test", status, value)
    return replace(target, facts=tables)


def taken(one: Input) -> list[Taken]:
    """Every synapse of an input, with the chunk of the fan-in that it belongs to."""
    pattern = one.synapses.pattern
    if one.turns and isinstance(pattern, Filters):
        each = [(to, of, entry) for to, of, _, entry in listed(pattern)]
        return [(to, of, int(np.ravel_multi_index(e[1:], pattern.weight.shape[1:])), e) for to, of, e in each]
    loops = [loop.source for loop in one.factors.rest]
    chunk = {}
    for at in np.ndindex(*map(len, loops)):
        sent = sum(int(loop[i]) for loop, i in zip(loops, at, strict=True))
        chunk[sent] = int(np.ravel_multi_index(at, [len(loop) for loop in loops])) if loops else 0
    return [(to, of, _chunk(one, to, of, chunk), entry) for to, of, _, entry in listed(pattern)]


def _chunk(one: Input, to: int, of: int, chunk: dict[int, int]) -> int:
    """The piece of the free loops that is left of an axon once the neuron's own loops are taken off."""
    if one.chunks == 1:
        return 0
    place = np.unravel_index(to, _view_shape(one))
    own = [set(axis.source[axis.coordinate == at].tolist()) for axis, at in zip(one.factors.axes, place, strict=True)]
    rest = {of - one.factors.first - sum(moves) for moves in product(*own)} & set(chunk)
    assert len(rest) == 1
    return chunk[rest.pop()]


def _view_shape(one: Input) -> tuple[int, ...]:
    return tuple(axis.extent for axis in one.factors.axes)


def tiles(cut: Cut) -> Iterator[Tile]:
    """All tiles of a cut."""
    for index in np.ndindex(*cut.counts):
        for part in range(cut.parts):
            yield cut.tile(tuple(map(int, index)), part)


def inside(cut: Cut, tile: Tile) -> np.ndarray:
    """Which neurons of the population lie in a tile's box."""
    mask = np.zeros(cut.shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(tile.box.start, tile.box.stop, strict=True))] = True
    return mask.reshape(-1)


def recount(cut: Cut, tile: Tile, tiling: Tiling, target: Target) -> Use:
    """What a tile uses, from the synapses listed one by one."""
    measure = cut.measure
    assert isinstance(measure, Measure)
    view, crossbar = measure.plan.view, target.kind == "crossbar"
    mask = inside(cut, tile)
    axons = synapses = memory = rows = 0
    for one in view.inputs:
        start, stop = one.piece(tile.part, cut.parts)
        held = [t for t in taken(one) if mask[t[0]] and start <= t[2] < stop]
        synapses += len(held)
        if one.turns:
            axons += _axons_in_turns(one, [t for t in taken(one) if mask[t[0]]], start, stop)
            rows += one.rows * _groups(one, mask) * (stop - start)
        else:
            axons += len({t[1] for t in held})
            rows += one.rows * len({t[1] for t in held})
        bits = len({t[3] for t in held}) if one.shared else len(held)
        memory += -(-bits * one.memory_bits // 8)
    own = not (crossbar and tile.part)
    held_neurons = _own_columns(measure, mask)
    columns = held_neurons * measure.plan.columns
    active = min(rows, target.limit("active_rows")) if target.limit("active_rows") else rows
    out = _axons_out(cut, mask, tiling) if own else 0
    return Use(int(mask.sum()) * own, axons, out, synapses, memory, rows, columns, active)


def _axons_in_turns(one: Input, all_taken: list[Taken], start: int, stop: int) -> int:
    """All axons of the input channels of which the piece has anything, within each group."""
    channels = {chunk // one.taps for chunk in range(start, stop)}
    return len({t[1] for t in all_taken if t[2] // one.taps in channels})


def _groups(one: Input, mask: np.ndarray) -> int:
    """Rows of a chunk: different axons of it at one place of the layer."""
    pattern = one.synapses.pattern
    if isinstance(pattern, Filters):
        size = len(pattern.weight) // pattern.groups
        return len({t[3][0] // size for t in taken(one) if mask[t[0]]})
    held = [t for t in taken(one) if mask[t[0]] and t[2] == 0]
    shape, axes = _view_shape(one), one.factors.axes
    places = [tuple(p for p, a in zip(np.unravel_index(t[0], shape), axes, strict=True) if not a.channel) for t in held]
    return len({t[1] for t, place in zip(held, places, strict=True) if place == places[0]})


def _own_columns(measure: Measure, mask: np.ndarray) -> int:
    place = np.array(np.unravel_index(np.flatnonzero(mask), measure.plan.view.shape))
    return len({tuple(p[a] for a in measure.plan.channels) for p in place.T.tolist()})


def _axons_out(cut: Cut, mask: np.ndarray, tiling: Tiling) -> int:
    """Pairs of a neuron and a box that it reaches, for each pattern."""
    found = 0
    for synapses in tiling.network.outputs(cut.population):
        other = tiling.cuts[synapses.target]
        pairs = set()
        for to, of, *_ in listed(synapses.pattern):
            if mask[of]:
                at = np.unravel_index(to, other.shape)
                pairs.add((of, tuple(int(a) // s for a, s in zip(at, other.step, strict=True))))
        found += len(pairs)
    return found


def one_layer(pattern: Nest | Filters, source: tuple[int, ...], target: tuple[int, ...]) -> ChipNetwork:
    """A source, and LIFs behind one pattern."""
    neurons = (Neurons("in", "source", source, 0, BINARY), Neurons("out", "lif", target, 1, BINARY, vth=1))
    return ChipNetwork("net", "loihi-lava", 4, neurons, (Synapses("s", "in", "out", pattern, source, target),), "out")


def size(shape: tuple[int, ...]) -> int:
    return prod(shape)
