"""Latency and energy by hand, and what an absent constant switches off."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.ir.chip import ChipNetwork, Placement, Tiling, Use
from neurodeploy.mapping.bill_arrays import Reads
from neurodeploy.mapping.bill_costs import PLACES, Case, energy, pipeline
from neurodeploy.mapping.bill_figures import Figure, computed, counted, total, worst
from neurodeploy.mapping.bill_loads import Cores, Links, Loads
from neurodeploy.targets import Target
from tests.mapping.chips import chip

CORES = Cores(np.array([10.0, 20.0]), np.array([4.0, 6.0]), np.array([100.0, 50.0]))
LINKS = Links(np.zeros(2), np.zeros(2), 30.0, 40.0, 10.0, 5.0, 9.0, 3.0)
EMPTY = Tiling(ChipNetwork("none", "loihi-lava", 4, (), (), ""), "loihi1", {})
TIMES = {"synapse": 3.5, "neuron_active": 8.4, "neuron_inactive": 5.3, "barrier": 465, "barrier_chips": 16200}
LOIHI1 = {f"time__{key}": value for key, value in TIMES.items()}


def case(target: Target, chips: int = 1, reads: Reads | None = None, places: bool = True) -> Case:
    found = Loads(30, 10.0, 150.0, CORES if places else None, LINKS if places else None)
    placement = Placement(EMPTY, (), (), (), ((Use(), 2),), chips)
    return Case(target, placement, found, "measured", steps=4, depth=6, reads=reads)


def named(figures: tuple[Figure, ...]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


def test_a_step_lasts_as_long_as_its_busiest_core() -> None:
    found = named(pipeline(case(chip("loihi1", **LOIHI1))))
    step = 100 * 3.5 + 4 * 8.4 + 6 * 5.3 + 465
    assert found["time a step"].value == pytest.approx(step)
    assert found["latency of the first sample"].value == 10
    assert found["latency of the first sample in time"].value == pytest.approx(10 * step * 1e-6)
    assert found["throughput in time"].value == pytest.approx(1e9 / (4 * step))
    assert {figure.status for figure in found.values()} == {"counted", "assumed"}


def test_several_chips_wait_for_one_another() -> None:
    found = named(pipeline(case(chip("loihi1", **LOIHI1), chips=2)))
    assert found["time a step"].value == pytest.approx(100 * 3.5 + 4 * 8.4 + 6 * 5.3 + 16200)


def test_a_chip_with_a_tick_needs_no_other_time() -> None:
    found = named(pipeline(case(chip("truenorth"))))
    assert found["time a step"].value == 1_000_000
    assert found["throughput in time"].value == pytest.approx(250)


def test_arrays_are_read_one_after_another() -> None:
    reads = Reads(7, "conv", 1000.0, 50.0, 400.0)
    target = chip("crossbar-isaac", time__barrier=10)
    found = named(pipeline(case(target, reads=reads)))
    assert found["time a step"].value == 7 * 100 + 10
    slow = named(pipeline(case(chip("crossbar-isaac", time__barrier=10, time__conversion=2), reads=reads)))
    assert slow["time a step"].value == 7 * 128 * 2 + 10
    off = named(pipeline(case(chip("crossbar-isaac", time__barrier=10, time__conversion=None), reads=reads)))
    assert off["time a step"].absent == ("time.conversion",)
    spent = named(energy(case(target, reads=reads)))["synapses"].value
    assert spent == pytest.approx(4e-6 * (1000 * 1.5625 + 400 * 0.00183 + 50 * 0.39))


def test_energy_is_the_sum_of_its_parts() -> None:
    found = named(energy(case(chip("loihi1", **LOIHI1))))
    step = 100 * 3.5 + 4 * 8.4 + 6 * 5.3 + 465
    parts = [150 * 23.6, 10 * 81 + 20 * 52, 30 * 1.7 + 40 * 3.0 + 10 * 4.0, 104 * step]
    names = ("synapses", "neurons", "messages", "static")
    assert [found[name].value for name in names] == pytest.approx([4e-6 * part for part in parts])
    assert found["energy a sample"].value == pytest.approx(4e-6 * sum(parts))
    assert (found["energy a sample"].status, found["energy a sample"].basis) == ("assumed", "measured")


def test_crossings_cost_where_there_are_several_chips() -> None:
    found = named(energy(case(chip("loihi1"), chips=2)))
    assert (found["messages"].value, found["messages"].absent) == (None, ("energy.hop_chip",))
    known = named(energy(case(chip("loihi1", energy__hop_chip=100), chips=2)))["messages"].value
    assert known == pytest.approx(4e-6 * (30 * 1.7 + 40 * 3.0 + 10 * 4.0 + 5 * 100))


def test_an_absent_constant_switches_its_figures_off_and_is_named() -> None:
    found = named(energy(case(chip("loihi1", energy__synapse=None))))
    assert (found["synapses"].value, found["synapses"].status) == (None, "absent")
    assert found["energy a sample"].absent == ("energy.synapse",)
    known = [found[name].value or 0.0 for name in ("neurons", "messages", "static")]
    assert found["energy a sample, known parts"].value == pytest.approx(sum(known))


def test_without_coordinates_what_needs_them_is_off() -> None:
    found = named(energy(case(chip("loihi1"), places=False)))
    assert found["messages"].absent[0] == found["static"].absent[0] == PLACES
    assert found["synapses"].value is not None


def test_a_figure_is_as_well_known_as_its_worst_constant() -> None:
    target = chip("loihi1", energy__synapse=1)
    keys = ("energy.synapse", "energy.neuron_active")
    found = computed("x", "pJ", target, keys, "a + b", lambda a, b: a + b)
    assert (found.value, found.status) == (82, "assumed")
    assert all(key in found.source for key in keys)
    assert worst(["paper", "counted", "datasheet"]) == "paper"
    assert total("both", [found, counted("y", 1, "pJ", "")], "a sum").status == "assumed"
