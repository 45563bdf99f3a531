"""Active rows and sums, as the check of a placement works them out: against readings and neurons that are listed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.ir.chip import Axis, Nest
from neurodeploy.ir.placement_active import _terms, readable_rows, sums_beyond
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.constraint_widths import sums_of
from neurodeploy.targets import load_target
from tests.chiplimits import able, with_facts
from tests.chipnets import random_network


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 9])
@pytest.mark.parametrize("cell", [1, 2, 4])
@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("drive", [1, 2])
def test_readable_rows_are_those_of_the_target(bits: int, cell: int, flips: bool, drive: int) -> None:
    facts = {"adc__bits": bits, "crossbar__cell_bits": cell, "adc__flips_columns": flips, "adc__input_bits": drive}
    for rows in (16, 83, 128, 256):
        target = with_facts(load_target("crossbar-isaac"), **facts, crossbar__rows=rows)
        most = target.active_rows
        assert [readable_rows(target, n) for n in range(rows + 1)] == [min(n, most or 0) for n in range(rows + 1)]


def test_rows_of_chips_without_converters() -> None:
    assert readable_rows(able("truenorth"), 200) == 200
    assert readable_rows(able("loihi2"), 200) == 0
    few = with_facts(load_target("crossbar-128-adc5"), adc__rows_a_read=4)
    assert [readable_rows(few, n) for n in (0, 3, 100)] == [0, 3, 4]


@pytest.mark.parametrize("seed", range(30))
def test_sums_are_those_of_the_constraints(seed: int) -> None:
    """Equal to what `mapping.constraint` holds tiles to, which other code works out."""
    network, narrow = random_network(seed), with_facts(able("loihi2"), neuron__state_bits=1)
    for one in network.synapses:
        neurons = network.by_name[one.target]
        if neurons.kind != "sum":
            beyond = sums_beyond(neurons, replace(network, synapses=(one,)), narrow, {})
            assert (beyond[0] if beyond else Interval(0, 0)) == sums_of([one], network)


def test_loops_that_meet_count_each_time() -> None:
    table, times, _ = _terms(Nest((Axis(5, 2, 1), Axis(3, 1, 5)), 0, 0, np.asarray(3)))
    assert (table.tolist(), times) == ([[3]], 2)


def test_what_is_proven_needs_no_worst_case() -> None:
    network = random_network(3)
    neurons = next(n for n in network.neurons if n.kind == "lif")
    narrow = with_facts(able("loihi2"), neuron__state_bits=1)
    assert sums_beyond(neurons, network, narrow, {}) is not None
    assert sums_beyond(neurons, network, narrow, {neurons.value: Interval(0, 0)}) is None
