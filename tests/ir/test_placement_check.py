"""The check of placements: 500 random networks break no rule, and a fault planted in each rule is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from neurodeploy.errors import DoesNotFitError, VerifyError
from neurodeploy.ir.chip import Box, Placement, TileClass, Use
from neurodeploy.ir.placement_check import check_placement
from neurodeploy.ir.placement_recount import recount
from neurodeploy.ir.types import Interval
from neurodeploy.mapping import place as placing
from neurodeploy.mapping.place import place
from neurodeploy.mapping.tiles import tile
from neurodeploy.targets import Target
from tests.chiplimits import able, chips, limited, with_facts
from tests.chipnets import random_network

NETWORKS = 500
LEAST_PLACED = 0.8  # of them; the others do not fit their random limits, and are refused


def _fits(seed: int, target: Target) -> Placement | None:
    convolutions = "convolution" in target.facts
    network = random_network(seed, graded=seed % 2 == 0 and not convolutions, convolutions=convolutions)
    try:
        return place(tile(network, target), target)
    except DoesNotFitError:
        return None


@pytest.mark.parametrize("name", chips())
def test_random_networks_break_no_rule(name: str) -> None:
    placed, share = 0, -(-NETWORKS // len(chips()))
    for seed in range(share):
        target = limited(able(name), np.random.default_rng(seed)) if seed % 3 else able(name)
        placement = _fits(1000 * chips().index(name) + seed, target)
        if placement is not None:
            assert check_placement(placement, target) is placement
            placed += 1
    assert placed > LEAST_PLACED * share


def test_too_many_tiles_for_coordinates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "MOST_TILES", 0)
    for seed, name in enumerate(chips() * 5):
        target = able(name)
        placement = _fits(seed, target)
        assert placement is not None
        assert not placement.cores
        assert placement.note
        check_placement(placement, target)


@pytest.mark.parametrize("seed", range(40))
def test_large_patterns_are_counted_as_if_expanded(seed: int) -> None:
    random = np.random.default_rng(seed)
    for synapses in random_network(seed).synapses:
        steps = [
            tuple(int(random.integers(1, n + 1)) for n in s) for s in (synapses.target_shape, synapses.source_shape)
        ]
        whole, boxes = (recount(synapses, steps[0], steps[1], brute) for brute in (True, False))
        assert whole is not None
        assert boxes is not None
        for name in ("synapses", "axons", "weights", "rows", "columns", "reached"):
            assert np.array_equal(getattr(whole, name), getattr(boxes, name)), name
        assert sorted(whole.links.T.tolist()) == sorted(boxes.links.T.tolist())


@dataclass(frozen=True)
class Case:
    """A sound placement of a small network on several chips of a few cores."""

    placement: Placement
    target: Target


@pytest.fixture(scope="module")
def case() -> Case:
    limits = {"core__neurons": 60, "core__axons_in": 400, "core__synapses": 5000, "core__axons_out": 5000}
    mesh = {"chip__cores": 6, "chip__mesh_x": 3, "chip__mesh_y": 2, "chip__cores_a_router": 1, "chip__chips": 40}
    target = with_facts(able("loihi2"), **limits, **mesh, core__destinations=500)
    placement = _fits(4, target)
    assert placement is not None
    assert placement.chips > 1
    assert len(placement.cores) > 8
    check_placement(placement, target)
    return Case(placement, target)


def _cores(case: Case, change: Callable[[list[list]], None]) -> Case:
    cores = [list(core) for core in case.placement.cores]
    change(cores)
    return Case(replace(case.placement, cores=tuple(tuple(core) for core in cores)), case.target)


def _at(case: Case, *places: tuple[int, int, int]) -> Case:
    return Case(replace(case.placement, at=(*places, *case.placement.at[len(places) :])), case.target)


def _slots(case: Case, *slots: int) -> Case:
    return Case(replace(case.placement, slots=(*slots, *case.placement.slots[len(slots) :])), case.target)


def _told(case: Case, **less: int) -> Case:
    """All tiles of the output say that they use so much more or less."""
    tiling = case.placement.tiling
    cut = tiling.cuts[tiling.network.output]
    lies = replace(cut, measure=lambda tile: cut.use(tile) + Use(**less))
    changed = replace(tiling, cuts={**tiling.cuts, cut.population: lies})
    return Case(replace(case.placement, tiling=changed), case.target)


def _most(case: Case, resource: str) -> Case:
    """The target with one less of a resource than the fullest core uses."""
    used = max(getattr(use, resource) for use, _ in case.placement.classes)
    assert used > 1
    return Case(case.placement, with_facts(case.target, **{f"core__{resource}": used - 1}))


def _wrong_box(cores: list[list]) -> None:
    tile = next(t for core in cores for t in core if t.box.stop[0] - t.box.start[0] > 1)
    where = next(core for core in cores if tile in core)
    stop = (tile.box.stop[0] - 1, *tile.box.stop[1:])
    where[where.index(tile)] = replace(tile, box=Box(tile.box.start, stop))


def _wide(case: Case) -> Case:
    tiling = case.placement.tiling
    neurons = (*tiling.network.neurons[:-1], replace(tiling.network.neurons[-1], interval=Interval(0, 1 << 23)))
    changed = replace(tiling, network=replace(tiling.network, neurons=neurons))
    return Case(replace(case.placement, tiling=changed), case.target)


def _fact(case: Case, **values: object) -> Case:
    return Case(case.placement, with_facts(case.target, **values))


FAULTS: dict[str, tuple[str, Callable[[Case], Case]]] = {
    "a tile twice": ("ND-M401", lambda c: _cores(c, lambda cores: cores[0].append(cores[1][0]))),
    "a missing tile": ("ND-M401", lambda c: _cores(c, lambda cores: cores[0].pop())),
    "a population on no core": (
        "ND-M401",
        lambda c: Case(
            replace(
                c.placement, tiling=replace(c.placement.tiling, cuts=dict(list(c.placement.tiling.cuts.items())[1:]))
            ),
            c.target,
        ),
    ),
    "a wrong box": ("ND-M402", lambda c: _cores(c, _wrong_box)),
    "a part that is none": (
        "ND-M402",
        lambda c: _cores(c, lambda cores: cores[0].__setitem__(0, replace(cores[0][0], part=1))),
    ),
    "a tile of nothing": (
        "ND-M402",
        lambda c: _cores(c, lambda cores: cores[0].__setitem__(0, replace(cores[0][0], population="none"))),
    ),
    "a synapse too few": ("ND-M403", lambda c: _told(c, synapses=-1)),
    "a synapse too many": ("ND-M403", lambda c: _told(c, synapses=1)),
    "an axon in too few": ("ND-M403", lambda c: _told(c, axons_in=-1)),
    "a byte too few": ("ND-M403", lambda c: _told(c, synapse_memory=-1)),
    "a neuron too few": ("ND-M403", lambda c: _told(c, neurons=-1)),
    **{
        f"{name} beyond the limit": ("ND-M404", lambda c, name=name: _most(c, name))
        for name in ("neurons", "axons_in", "axons_out", "synapses", "synapse_memory")
    },
    "active rows on a core": ("ND-M403", lambda c: _told(c, active_rows=1)),
    "sums beyond a membrane": ("ND-M411", lambda c: _fact(c, neuron__state_bits=4)),
    "a payload too wide": ("ND-M405", _wide),
    "payloads on binary spikes": ("ND-M405", lambda c: _fact(c, neuron__payload_bits=0)),
    "a core off the mesh": ("ND-M406", lambda c: _at(c, (0, 3, 0))),
    "a core at a negative place": ("ND-M406", lambda c: _at(c, (0, 0, -1))),
    "two cores in one place": ("ND-M406", lambda c: _at(c, c.placement.at[1])),
    "a slot that is none": ("ND-M406", lambda c: _slots(c, 6)),
    "two cores in one slot": ("ND-M406", lambda c: _slots(c, c.placement.slots[1])),
    "a core without a place": (
        "ND-M406",
        lambda c: Case(replace(c.placement, at=c.placement.at[:-1]), c.target),
    ),
    "too many chips": ("ND-M407", lambda c: _fact(c, chip__chips=1)),
    "too many cores a chip": ("ND-M407", lambda c: _fact(c, chip__cores=1)),
    "too many neurons on a chip": ("ND-M407", lambda c: _fact(c, chip__neurons=20)),
    "tiles that may not share": ("ND-M408", lambda c: _fact(c, convolution__kernel=16)),
    "an empty core": ("ND-M408", lambda c: _cores(c, lambda cores: cores[0].clear())),
    "spikes to too many cores": ("ND-M409", lambda c: _fact(c, core__destinations=1)),
    "a class of cores too few": (
        "ND-M410",
        lambda c: Case(replace(c.placement, classes=c.placement.classes[1:]), c.target),
    ),
    "a chip too few": ("ND-M410", lambda c: Case(replace(c.placement, chips=c.placement.chips - 1), c.target)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_refused(case: Case, name: str) -> None:
    code, plant = FAULTS[name]
    broken = plant(case)
    with pytest.raises(VerifyError) as error:
        check_placement(broken.placement, broken.target)
    assert code in {finding.code for finding in error.value.findings}


def test_all_faults_at_once(case: Case) -> None:
    for name in ("payloads on binary spikes", "too many chips", "two cores in one slot", "a class of cores too few"):
        case = FAULTS[name][1](case)
    with pytest.raises(VerifyError) as error:
        check_placement(case.placement, case.target)
    assert {"ND-M405", "ND-M406", "ND-M407", "ND-M410"} <= {finding.code for finding in error.value.findings}


@pytest.fixture(scope="module")
def arrays() -> Case:
    """On arrays, with fan-ins in parts."""
    mesh = {"chip__cores": 12, "chip__mesh_x": 3, "chip__mesh_y": 2, "chip__cores_a_router": 2}
    target = with_facts(able("crossbar-isaac"), crossbar__rows=16, crossbar__columns=32, **mesh)
    placement = _fits(6, target)
    assert placement is not None
    assert any(cut.parts > 1 for cut in placement.tiling.cuts.values())
    check_placement(placement, target)
    return Case(placement, target)


def _first_of_parts(cores: list[list]) -> None:
    next(core for core in cores if core[0].part).clear()


def _less(case: Case, resource: str) -> Case:
    used = max(getattr(use, resource) for use, _ in case.placement.classes)
    return _fact(case, **{f"crossbar__{resource}": used - 1})


ARRAY_FAULTS: dict[str, tuple[str, Callable[[Case], Case]]] = {
    "a missing part": ("ND-M401", lambda c: _cores(c, _first_of_parts)),
    "rows too few": ("ND-M403", lambda c: _told(c, rows=-1000)),
    "columns too few": ("ND-M403", lambda c: _told(c, columns=-1000)),
    "an active row too few": ("ND-M403", lambda c: _told(c, active_rows=-1)),
    "an active row too many": ("ND-M403", lambda c: _told(c, active_rows=1)),
    "active rows of a wider converter": ("ND-M403", lambda c: _fact(c, adc__bits=2)),
    "rows beyond the limit": ("ND-M404", lambda c: _less(c, "rows")),
    "columns beyond the limit": ("ND-M404", lambda c: _less(c, "columns")),
    "active rows beyond the converter": ("ND-M404", lambda c: _fact(c, adc__bits=2)),
    "three arrays at a router": ("ND-M406", lambda c: _at(c, *[c.placement.at[0]] * 3)),
    "two tiles in an array": ("ND-M408", lambda c: _cores(c, lambda cores: cores[0].append(cores[1].pop()))),
}


@pytest.mark.parametrize("name", ARRAY_FAULTS)
def test_faults_planted_in_arrays_are_refused(arrays: Case, name: str) -> None:
    code, plant = ARRAY_FAULTS[name]
    broken = plant(arrays)
    with pytest.raises(VerifyError) as error:
        check_placement(broken.placement, broken.target)
    assert code in {finding.code for finding in error.value.findings}


def _classes(case: Case, change: Callable[[TileClass], TileClass]) -> Case:
    """The first class of the output's tiles, changed."""
    tiling = case.placement.tiling
    cut = tiling.cuts[tiling.network.output]
    changed = replace(cut, classes=(change(cut.classes[0]), *cut.classes[1:]))
    tiling = replace(tiling, cuts={**tiling.cuts, cut.population: changed})
    return Case(replace(case.placement, tiling=tiling), case.target)


def _swapped(case: Case) -> Case:
    """The counts of two classes of a population exchanged, where they have different numbers of neurons."""
    tiling = case.placement.tiling
    for name, cut in tiling.cuts.items():
        one = cut.classes[0]
        for at, two in enumerate(cut.classes):
            if one.count != two.count and one.use.neurons != two.use.neurons:
                classes = list(cut.classes)
                classes[0], classes[at] = replace(one, count=two.count), replace(two, count=one.count)
                return _recounted(case, name, tuple(classes))
    raise LookupError("no such classes")


def _nothing_in_parts(case: Case) -> Case:
    """A population whose fan-in is in parts, all of which say that they hold nothing."""
    name, cut = next((name, cut) for name, cut in case.placement.tiling.cuts.items() if cut.parts > 1)
    empty = {"synapses": 0, "rows": 0, "columns": 0}
    return _recounted(case, name, tuple(replace(c, use=replace(c.use, **empty)) for c in cut.classes))


def _recounted(case: Case, name: str, classes: tuple[TileClass, ...]) -> Case:
    """A placement without coordinates, made from these classes of a population."""
    tiling = case.placement.tiling
    tiling = replace(tiling, cuts={**tiling.cuts, name: replace(tiling.cuts[name], classes=classes)})
    return Case(place(tiling, case.target), case.target)


COUNTED_FAULTS: dict[str, tuple[str, Callable[[Case], Case]]] = {
    "a tile too few": ("ND-M401", lambda c: _classes(c, lambda one: replace(one, count=one.count - 1))),
    "a synapse too few": ("ND-M403", lambda c: _classes(c, lambda one: replace(one, use=one.use + Use(synapses=-1)))),
    "an active row": ("ND-M403", lambda c: _classes(c, lambda one: replace(one, use=one.use + Use(active_rows=1)))),
    "a limit": ("ND-M404", lambda c: _most(c, "neurons")),
    "payloads on binary spikes": ("ND-M405", lambda c: _fact(c, neuron__payload_bits=0)),
    "too many chips": ("ND-M407", lambda c: _fact(c, chip__chips=1)),
    "too many cores a chip": ("ND-M407", lambda c: _fact(c, chip__cores=1)),
    "a class of cores too few": (
        "ND-M410",
        lambda c: Case(replace(c.placement, classes=c.placement.classes[1:]), c.target),
    ),
}


@pytest.mark.parametrize("name", COUNTED_FAULTS)
def test_faults_planted_in_counts_are_refused(case: Case, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "MOST_TILES", 0)
    counted = Case(place(case.placement.tiling, case.target), case.target)
    check_placement(counted.placement, counted.target)
    code, plant = COUNTED_FAULTS[name]
    broken = plant(counted)
    with pytest.raises(VerifyError) as error:
        check_placement(broken.placement, broken.target)
    assert code in {finding.code for finding in error.value.findings}


def _all_active(case: Case) -> Case:
    """The first class of a population's tiles, all of whose rows are said to be active."""
    name, cut = next((n, c) for n, c in case.placement.tiling.cuts.items() if c.classes[0].use.rows)
    first = cut.classes[0]
    use = replace(first.use, active_rows=first.use.rows + 1)
    return _recounted(case, name, (replace(first, use=use), *cut.classes[1:]))


@pytest.mark.parametrize("plant", [_swapped, _nothing_in_parts, _all_active])
def test_false_classes_of_arrays_in_parts_are_refused(
    arrays: Case, plant: Callable[[Case], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "MOST_TILES", 0)
    counted = Case(place(arrays.placement.tiling, arrays.target), arrays.target)
    check_placement(counted.placement, counted.target)
    broken = plant(counted)
    with pytest.raises(VerifyError) as error:
        check_placement(broken.placement, broken.target)
    assert {finding.code for finding in error.value.findings} == {"ND-M403"}
