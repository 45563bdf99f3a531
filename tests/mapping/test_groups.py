"""Threshold groups on the chip: which parts a population falls into, and what is not listed of one that stays whole."""

from __future__ import annotations

import numpy as np

from neurodeploy.ir.mapped import Population
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.groups import parts_of

HUGE = (1 << 20, 1 << 10, 1 << 10)  # 2^40 neurons: a list of them would not fit any memory


def population(shape: tuple[int, ...]) -> Population:
    return Population("lif", "lif", shape, 0, Interval(0, 1), vth=5, dv=2048)


def test_a_population_that_stays_whole_is_not_listed() -> None:
    whole = population(HUGE)
    parts = parts_of(whole, None)
    assert parts.populations == (whole,)
    assert parts.members == ()


def test_every_neuron_is_in_one_part_at_one_place() -> None:
    thresholds = np.array([7, 3, 7, 3, 9]).reshape(5, 1, 1)
    parts = parts_of(population((5, 2, 3)), thresholds)
    assert [(p.vth, p.shape) for p in parts.populations] == [(3, (2, 2, 3)), (7, (2, 2, 3)), (9, (1, 2, 3))]
    for number, (part, members) in enumerate(zip(parts.populations, parts.members, strict=True)):
        assert (np.broadcast_to(thresholds, (5, 2, 3)).reshape(-1)[members] == part.vth).all()
        assert (parts.part[members] == number).all()
        assert (parts.place[members] == np.arange(part.size)).all()
    assert sorted(np.concatenate(parts.members)) == list(range(30))
