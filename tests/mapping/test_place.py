"""Placement: what it makes of small networks, against brute force, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from neurodeploy.errors import DoesNotFitError
from neurodeploy.ir.chip import Axis, ChipNetwork, Cut, Nest, Neurons, Placement, Synapses, Tile, TileClass, Tiling, Use
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.mapping import place as placing
from neurodeploy.mapping.place import place
from neurodeploy.mapping.place_mesh import curve, cut_into_chips
from neurodeploy.mapping.place_pack import pack_classes
from neurodeploy.mapping.place_room import room_of
from neurodeploy.mapping.place_traffic import Traffic, first_tiles, traffic_of
from neurodeploy.targets import Target
from tests.chiplimits import able, with_facts

WITHIN = 1.2  # of the best traffic that any placement has


def _ring(random: np.random.Generator, tiles: int, use: Use | None = None) -> Tiling:
    """A population a tile, each heard by a few later ones; every tile uses the same."""
    neurons = [Neurons("p0", "source", (4,), 0, BINARY)]
    synapses = []
    for number in range(1, tiles + 1):
        size = int(random.integers(2, 9))
        neurons.append(Neurons(f"p{number}", "lif", (size,), number, BINARY, resets=True))
        for source in {number - 1, *map(int, random.integers(0, number, 2))}:
            own = neurons[source]
            nest = Nest((Axis(size, 1, 0), Axis(int(random.integers(1, own.size + 1)), 0, 1)), 0, 0, np.array(1))
            name = f"{source}->{number}"
            synapses.append(
                Synapses(name, own.name, f"p{number}", nest, own.shape, (size,), "a_in", number - source - 1)
            )
    network = ChipNetwork("ring", "loihi-lava", 4, tuple(neurons), tuple(synapses), f"p{tiles}")
    used = use or Use(neurons=100)
    cuts = {n.name: _one_tile(n, used) for n in neurons[1:]}
    return Tiling(network, "a chip", cuts)


def _one_tile(neurons: Neurons, use: Use) -> Cut:
    cut = Cut(neurons.name, neurons.shape, neurons.shape, 1, (), lambda _: use)
    return replace(cut, classes=(TileClass(use, 1, cut.tile((0,))),))


def _mesh(cores: int, wide: int, chips: int = 1, each: int = 1, **facts: object) -> Target:
    mesh = {"chip__mesh_x": wide, "chip__mesh_y": -(-cores // (wide * each)), "chip__cores_a_router": each}
    return with_facts(able("loihi2"), chip__cores=cores, chip__chips=chips, core__neurons=100, **mesh, **facts)


def _cost(placement: Placement, traffic: Traffic) -> float:
    """Spikes times hops on one chip."""
    first = first_tiles(placement.tiling)
    at = {first[t.population]: place for core, place in zip(placement.cores, placement.at, strict=True) for t in core}
    where = np.array([at[i][1:] for i in range(len(at))])
    return float((np.abs(where[traffic.source] - where[traffic.target]).sum(axis=1) * traffic.spikes).sum())


def _least(traffic: Traffic, tiles: int, cores: int, wide: int) -> float:
    """The least spikes times hops over all ways to give each tile a core of its own."""
    places = np.array([divmod(i, wide) for i in range(cores)])
    orders = np.array(list(permutations(range(cores), tiles)))
    total = np.zeros(len(orders))
    for a, b, spikes in zip(traffic.source, traffic.target, traffic.spikes, strict=True):
        total += np.abs(places[orders[:, a]] - places[orders[:, b]]).sum(axis=1) * spikes
    return float(total.min())


@pytest.mark.parametrize("seed", range(20))
def test_as_near_as_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    tiles, (cores, wide) = int(random.integers(4, 8)), ((8, 4), (9, 3), (8, 2))[seed % 3]
    tiling = _ring(random, tiles)
    placement, traffic = place(tiling, _mesh(cores, wide)), traffic_of(tiling)
    assert traffic is not None
    least = _least(traffic, tiles, cores, wide)
    assert least > 0
    assert least <= _cost(placement, traffic) <= WITHIN * least


def _groupings(tiles: int, cores: int, most: int) -> Iterator[tuple[int, ...]]:
    """Every way to put tiles into numbered cores of at most `most` tiles."""
    for code in np.ndindex((cores,) * tiles):
        if np.bincount(code).max() <= most:
            yield code


@pytest.mark.parametrize("seed", range(10))
def test_tiles_that_share_cores_as_near_as_brute_force(seed: int) -> None:
    random = np.random.default_rng(100 + seed)
    tiles, cores = 6, 4
    tiling, target = _ring(random, tiles, Use(neurons=50)), _mesh(cores, 2)
    placement, traffic = place(tiling, target), traffic_of(tiling)
    assert traffic is not None
    assert placement.used_cores == 3
    codes = np.array([c for c in _groupings(tiles, cores, 2) if len(set(c)) == 3])
    places = np.array([divmod(i, 2) for i in range(cores)])
    total = np.zeros(len(codes))
    for a, b, spikes in zip(traffic.source, traffic.target, traffic.spikes, strict=True):
        total += np.abs(places[codes[:, a]] - places[codes[:, b]]).sum(axis=1) * spikes
    assert _cost(placement, traffic) <= WITHIN * total.min()


def test_the_same_again() -> None:
    tiling, target = _ring(np.random.default_rng(1), 30), _mesh(8, 4, chips=9)
    assert place(tiling, target) == place(tiling, target)


def test_heavy_traffic_is_neighbours() -> None:
    tiling, target = _ring(np.random.default_rng(2), 12), _mesh(16, 4)
    rates = dict.fromkeys((n.name for n in tiling.network.neurons), 0.0) | {
        "p3": np.ones(tiling.network.by_name["p3"].shape)
    }
    placement = place(tiling, target, rates)
    at = {core[0].population: place[1:] for core, place in zip(placement.cores, placement.at, strict=True)}
    heard = {s.target for s in tiling.network.outputs("p3")}
    hops = [abs(at["p3"][0] - at[name][0]) + abs(at["p3"][1] - at[name][1]) for name in heard]
    assert max(hops) <= 1 if len(heard) <= 4 else max(hops) <= 2


def test_chips_are_as_few_as_possible_and_cut_where_least_crosses() -> None:
    room = room_of(_mesh(4, 2, chips=2))
    assert room is not None
    pairs = np.array([(0, 1), (1, 2), (3, 4), (4, 5), (2, 3)])
    traffic = Traffic(pairs[:, 0], pairs[:, 1], np.array([9.0, 9.0, 9.0, 9.0, 1.0]))
    chip = cut_into_chips(np.arange(6), np.zeros((6, 8), np.int64), traffic, room)
    assert chip.tolist() == [0, 0, 0, 1, 1, 1]


def test_totals_of_a_chip_are_kept() -> None:
    target = _mesh(8, 4, chips=9, chip__neurons=350)
    placement = place(_ring(np.random.default_rng(3), 10), target)
    held = [sum(at[0] == chip for at in placement.at) for chip in range(placement.chips)]
    assert max(held) == 3
    assert placement.chips == 4


@pytest.mark.parametrize(("width", "height"), [(1, 1), (4, 2), (3, 5), (8, 8), (7, 3), (1, 6)])
def test_the_curve_goes_through_every_router_by_short_ways(width: int, height: int) -> None:
    way = curve(width, height)
    assert sorted(way) == list(range(width * height))
    steps = np.abs(np.diff(way % width)) + np.abs(np.diff(way // width))
    assert steps.max(initial=0) <= 2


def _classes(random: np.random.Generator) -> list[TileClass]:
    example = Tile("p", (0,), 0, None)  # type: ignore[arg-type]
    uses = [Use(neurons=int(random.integers(1, 100)), synapses=int(random.integers(1, 100))) for _ in range(6)]
    return [TileClass(use, int(random.integers(1, 40)), example) for use in uses]


@pytest.mark.parametrize("seed", range(10))
def test_counting_by_classes_packs_all_tiles_within_limits(seed: int) -> None:
    target = _mesh(8, 4, core__synapses=120)
    room, classes = room_of(target), _classes(np.random.default_rng(seed))
    assert room is not None
    cores = pack_classes(classes, room)
    for resource, limit in (("neurons", 100), ("synapses", 120)):
        total = sum(getattr(c.use, resource) * c.count for c in classes)
        assert sum(getattr(use, resource) * count for use, count in cores) == total
        assert max(getattr(use, resource) for use, _ in cores) <= limit
        assert -(-total // limit) <= sum(count for _, count in cores) <= sum(c.count for c in classes)


def test_counting_by_classes_is_as_tight_as_placing(monkeypatch: pytest.MonkeyPatch) -> None:
    tiling, target = _ring(np.random.default_rng(5), 20, Use(neurons=30)), _mesh(40, 8)
    placed = place(tiling, target)
    monkeypatch.setattr(placing, "MOST_TILES", 1)
    counted = place(tiling, target)
    assert placed.used_cores == counted.used_cores == 7  # three of 30 neurons in a core of 100
    assert (counted.chips, counted.cores, counted.at) == (1, (), ())
    assert "20 tiles" in counted.note


def test_cores_that_differ_are_matched() -> None:
    target = with_facts(_mesh(4, 2), core__neurons=(20, 100, 50, 100))
    tiling = _ring(np.random.default_rng(6), 4)
    needs = dict(zip(tiling.cuts, (100, 15, 90, 40), strict=True))
    cuts = {name: _one_tile(tiling.network.by_name[name], Use(neurons=n)) for name, n in needs.items()}
    placement = place(replace(tiling, cuts=cuts), target)
    slots = {core[0].population: slot for core, slot in zip(placement.cores, placement.slots, strict=True)}
    assert {slots["p1"], slots["p3"]} == {1, 3}
    assert (slots["p4"], slots["p2"]) == (2, 0)
    wide = {name: _one_tile(tiling.network.by_name[name], Use(neurons=60)) for name in needs}
    assert _refused(replace(tiling, cuts=wide), target) == {"ND-M306"}


def _refused(tiling: Tiling, target: Target) -> set[str]:
    with pytest.raises(DoesNotFitError) as error:
        place(tiling, target)
    return {finding.code for finding in error.value.findings}


def test_what_does_not_fit_is_refused_all_at_once() -> None:
    tiling = _ring(np.random.default_rng(7), 10)
    assert _refused(tiling, _mesh(4, 2, chips=2)) == {"ND-M304"}
    assert _refused(tiling, _mesh(4, 2, chips=3, core__destinations=1)) == {"ND-M305"}
    assert _refused(_ring(np.random.default_rng(7), 10, Use(neurons=101)), _mesh(16, 4)) == {"ND-M302"}
    wide = replace(tiling.network.neurons[3], interval=Interval(-5, 5))
    neurons = (*tiling.network.neurons[:3], wide, *tiling.network.neurons[4:])
    graded = replace(tiling, network=replace(tiling.network, neurons=neurons))
    small = with_facts(_mesh(4, 2, chips=2), neuron__payload_bits=0, core__neurons=50)
    assert _refused(graded, small) == {"ND-M302", "ND-M303", "ND-M304"}


def test_no_chip_is_no_place() -> None:
    target = replace(_mesh(4, 2), kind="cpu")
    assert _refused(_ring(np.random.default_rng(8), 3), target) == {"ND-M301"}


def test_an_unknown_number_of_cores_is_told() -> None:
    placement = place(_ring(np.random.default_rng(9), 5), with_facts(_mesh(4, 2), chip__cores=None))
    assert (placement.used_cores, placement.chips, placement.cores) == (5, 0, ())
    assert "nobody published" in placement.note
