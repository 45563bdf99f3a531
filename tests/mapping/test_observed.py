"""Observed maxima against the listed synapses, and never beyond the bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from neurodeploy.errors import DoesNotFitError
from neurodeploy.ir.chip import ChipNetwork, Tiling
from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.samples import random_graph
from neurodeploy.mapping.constraint import Constraint, constraints
from neurodeploy.mapping.observed import Observed, TileObserver
from neurodeploy.mapping.symbolic import lower
from neurodeploy.mapping.tiles import tile
from neurodeploy.targets import Target
from tests.mapping.chips import chip, inside, taken, tiles
from tests.mapping.test_constraint import layer

STEPS = 3


def observe(tiling: Tiling, found: Sequence[Constraint], values: Mapping[str, np.ndarray]) -> tuple[Observed, ...]:
    """What values show; of a population, or of the layer that it computes, [samples, steps, *shape]."""
    names = {n.value or n.name: n for n in tiling.network.neurons} | dict(tiling.network.by_name)
    known = {names[k].name: v.reshape(-1, *names[k].shape) for k, v in values.items() if k in names}
    observer = TileObserver(tiling, found)
    for at in range(min(map(len, known.values()), default=0)):
        observer.step({name: value[at] for name, value in known.items()})
    return observer.results()


def small_crossbar(rng: np.random.Generator) -> Target:
    limits = {"crossbar__rows": int(rng.integers(16, 80)), "crossbar__columns": int(rng.integers(12, 64))}
    return chip("crossbar-128-adc5", synapse__shares_weights=bool(rng.integers(2)), **limits)


def sent(network: ChipNetwork, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random values of every population, [1, STEPS, *shape], within what it can send."""
    shapes = {n.name: (1, STEPS, *n.shape) for n in network.neurons}
    ends = {n.name: (n.interval.lo, n.interval.hi + 1) for n in network.neurons}
    zeros = {name: rng.integers(0, 2, shape) for name, shape in shapes.items()}
    return {name: rng.integers(*ends[name], shape) * zeros[name] for name, shape in shapes.items()}


@pytest.mark.parametrize("start", range(0, 40, 8))
def test_equal_to_a_recount(start: int) -> None:
    looked = 0
    for seed in range(start, start + 8):
        network, rng = lower(remove_dead(random_graph(seed))), np.random.default_rng(seed)
        if sum(s.count for s in network.synapses) > 4000:
            continue
        target = small_crossbar(rng)
        try:
            tiling = tile(network, target)
            found = constraints(tiling, target)
        except DoesNotFitError:
            continue
        values = sent(network, rng)
        classes: dict[str, int] = {}
        for one in observe(tiling, found, values):
            constraint, cut = one.constraint, tiling.cuts[one.constraint.population]
            assert one.steps == STEPS and one.active is not None
            if constraint.quantity == "accumulator":
                assert one.sums is not None
                continue
            at = classes.setdefault(cut.population, 0)
            classes[cut.population] += 1
            every = [t for t in tiles(cut) if cut.use(t) == cut.classes[at].use]
            picked = every if cut.count <= 64 else [cut.classes[at].example]
            assert one.active == max(rows(cut, t, values) for t in picked)
            assert one.active <= constraint.rows
            looked += 1
    assert looked


def rows(cut: object, one: object, values: dict[str, np.ndarray]) -> int:
    """Most active rows of a tile, from its synapses one by one."""
    measure, mask, best = cut.measure, inside(cut, one), 0
    for step in range(STEPS):
        at_place: dict[object, int] = {(): 0}
        for given in measure.plan.view.inputs:
            start, stop = given.piece(one.part, cut.parts)
            active = values[given.synapses.source][0, step].reshape(-1) != 0
            seen = {}
            for to, of, chunk, _ in taken(given):
                if start <= chunk < stop and mask[to] and active[of]:
                    place = np.unravel_index(to, measure.plan.view.shape) if given.turns else ()
                    key = tuple(int(p) for axis, p in enumerate(place) if axis not in measure.plan.channels)
                    seen.setdefault(key, set()).add(of)
            for key, axons in seen.items():
                at_place[key] = at_place.get(key, 0) + given.rows * len(axons)
        best = max(best, *at_place.values())
    return best


def test_sums_are_those_of_the_weights() -> None:
    weight = np.array([[1, -2, 3], [0, 5, -1]])
    network, target = layer(weight), chip("loihi2")
    tiling = tile(network, target)
    spikes = np.array([[[1, 1, 0], [0, 1, 1]]])
    (one,) = observe(tiling, constraints(tiling, target), {"in": spikes})
    assert one.sums is not None
    assert (one.sums.lo, one.sums.hi, one.active, one.steps) == (-1, 5, 2, 2)


def test_what_was_not_recorded_is_not_observed() -> None:
    network, target = layer(np.ones((2, 3))), chip("loihi2")
    tiling = tile(network, target)
    (one,) = observe(tiling, constraints(tiling, target), {"layer": np.zeros((1, 2, 2))})
    assert one.active is None and one.sums is None
