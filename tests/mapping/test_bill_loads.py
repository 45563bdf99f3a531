"""Loads of cores and links beside messages that are walked one by one."""

from __future__ import annotations

from collections import Counter
from functools import reduce

import numpy as np
import pytest

from neurodeploy.ir.chip import Placement, Tiling
from neurodeploy.ir.placement_recount import Digit, digits_of
from neurodeploy.mapping.bill_activity import Activity, activity, events
from neurodeploy.mapping.bill_loads import boxed, loads
from neurodeploy.mapping.place import place
from neurodeploy.mapping.place_room import Room, room_of
from neurodeploy.mapping.tiles import tile
from neurodeploy.targets import Target
from tests.chipnets import random_network
from tests.mapping.chips import chip

SMALL = {"chip__cores": 4, "chip__mesh_x": 2, "chip__mesh_y": 1, "chip__cores_a_router": 2}


def placed(seed: int, **facts: object) -> tuple[Placement, Activity, Target, Room]:
    """A random network on chips of few small cores, with random rates."""
    target = chip("loihi2", **{**SMALL, "core__neurons": 24, **facts})
    tiling = tile(random_network(seed), target)
    random = np.random.default_rng(seed)
    rates = {n.name: random.random(n.shape) for n in tiling.network.neurons}
    room = room_of(target)
    assert room is not None
    return place(tiling, target, rates), activity(tiling.network, rates, 1), target, room


@pytest.mark.parametrize("seed", range(8))
def test_what_cores_have_adds_up_to_the_network(seed: int) -> None:
    placement, active, _, room = placed(seed)
    found = loads(placement, active, room)
    assert found.cores is not None
    cuts = placement.tiling.cuts
    assert found.neurons == found.cores.neurons.sum() == sum(active.network.by_name[name].size for name in cuts)
    assert found.fired == pytest.approx(found.cores.fired.sum())
    assert found.events == pytest.approx(found.cores.events.sum())
    assert found.events == pytest.approx(sum(events(s, active.rates[s.source]) for s in active.network.synapses))


@pytest.mark.parametrize("seed", range(8))
def test_links_carry_every_message_along_its_row_and_column(seed: int) -> None:
    placement, active, _, room = placed(seed)
    found = loads(placement, active, room).links
    assert found is not None
    walked, hops, crossings = walk(placement, active, room)
    inner = {link: sent for link, sent in walked.items() if not crosses(link, room)}
    outer = {link: sent for link, sent in walked.items() if crosses(link, room)}
    assert (found.hops_x, found.hops_y, found.crossings) == pytest.approx((*hops, crossings))
    assert found.busiest == pytest.approx(max(inner.values(), default=0.0))
    assert found.busiest_crossing == pytest.approx(max(outer.values(), default=0.0))
    assert found.received.sum() == pytest.approx(found.messages) == pytest.approx(found.sent.sum())


Link = tuple[tuple[int, int], tuple[int, int]]


def walk(placement: Placement, active: Activity, room: Room) -> tuple[Counter[Link], tuple[float, float], float]:
    """Messages over each link, hops along x and y, and crossings of borders, router by router."""
    walked, hops, crossings = Counter[Link](), [0.0, 0.0], 0.0
    routers, boards = room.routers_of(placement.chips)
    for (a, b), spikes in sent(placement, active).items():
        ends = [placement.at[i][0] * room.cores + placement.slots[i] for i in (a, b)]
        at, end = (list(map(int, routers[slot])) for slot in ends)
        crossings += float(np.abs(boards[ends[0]] - boards[ends[1]]).sum() * spikes)
        for axis in (0, 1):
            while at[axis] != end[axis]:
                before = (at[0], at[1])
                at[axis] += 1 if end[axis] > at[axis] else -1
                walked[before, (at[0], at[1])] += float(spikes)
                hops[axis] += float(spikes)
    return walked, (hops[0], hops[1]), crossings


def sent(placement: Placement, active: Activity) -> dict[tuple[int, int], float]:
    """Messages from core to core, of every neuron's synapses one by one; from the host they come from core -1."""
    network, home = placement.tiling.network, {}
    assert all(cut.parts == 1 for cut in placement.tiling.cuts.values())
    for n in network.neurons:
        home[n.name] = np.full(n.shape, -1)
    for core, tiles in enumerate(placement.cores):
        for one in tiles:
            home[one.population][tuple(map(slice, one.box.start, one.box.stop))] = core
    listeners = set[tuple[str, int, int]]()
    for s in network.synapses:
        first, digits = digits_of(s.pattern)
        whole = reduce(Digit.times, digits)
        cores = home[s.target].reshape(-1)[first[0] + whole.target]
        listeners |= {(s.source, int(n), int(c)) for n, c in zip(first[1] + whole.source, cores, strict=True)}
    found: dict[tuple[int, int], float] = {}
    for name, neuron, core in sorted(listeners):
        pair = int(home[name].reshape(-1)[neuron]), core
        found[pair] = found.get(pair, 0.0) + float(active.rates[name].reshape(-1)[neuron])
    return {pair: n for pair, n in found.items() if pair[0] >= 0}


def crosses(link: Link, room: Room) -> bool:
    chips = [(x // room.routers[0], y // room.routers[1]) for x, y in link]
    return chips[0] != chips[1]


def test_bounds_are_not_exceeded() -> None:
    placement, active, _, room = placed(1)
    most, seen = (loads(placement, a, room).cores for a in (activity(placement.tiling.network), active))
    assert most is not None and seen is not None
    for name in ("fired", "events"):
        assert (getattr(most, name) >= getattr(seen, name)).all()
    uses = [sum(placement.tiling.cuts[t.population].use(t).synapses for t in core) for core in placement.cores]
    assert (most.events >= uses).all()
    assert np.array_equal(most.neurons, most.fired)


def test_a_placement_without_coordinates_has_totals_alone() -> None:
    placement, active, target, room = placed(2)
    bare = Placement(placement.tiling, (), (), (), placement.classes, placement.chips, "too many")
    found = loads(bare, active, room)
    assert (found.cores, found.links) == (None, None)
    assert found.events == loads(placement, active, room).events
    assert target.name == placement.tiling.target


def test_boxed_sums_are_those_of_slices() -> None:
    tiling: Tiling = placed(4)[0].tiling
    for cut in tiling.cuts.values():
        values = np.arange(float(np.prod(cut.shape))).reshape(cut.shape)
        boxes = [cut.tile(index).box for index in np.ndindex(cut.counts)]
        wanted = [values[tuple(map(slice, box.start, box.stop))].sum() for box in boxes]
        assert boxed(values, cut).tolist() == wanted
