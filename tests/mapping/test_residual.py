"""Residuals without payloads: every reader has the synapses of all terms, and the integers stay."""

from __future__ import annotations

import pytest

from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.samples import random_graph, random_images
from neurodeploy.ir.types import BINARY
from neurodeploy.mapping import lower, symbolic
from neurodeploy.quantize import quantize
from tests.mapping.test_lower import assert_equal_runs
from tests.mapping.test_symbolic import assert_same_networks
from tests.traced_graphs import FAMILIES, pictures


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str) -> None:
    images = pictures(3)
    graph = quantize(FAMILIES[family](0), images)
    assert_equal_runs(graph, images, residual="spikes")
    assert_same_networks(symbolic.lower(graph, residual="spikes"), lower(graph, residual="spikes"))


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_random_graphs(start: int) -> None:
    for seed in range(start, start + 50):
        graph = remove_dead(random_graph(seed))
        if graph.of("add"):
            assert_equal_runs(graph, random_images(graph, 2, seed), residual="spikes")


def test_no_payloads_of_residuals_are_left() -> None:
    """The sums that go are those of the added spikes; the synapses onto their readers double."""
    graph = quantize(FAMILIES["spikformer"](0), pictures(2))
    graded, spikes = (symbolic.lower(graph, residual=form) for form in ("graded", "spikes"))
    sums = {n.name for n in graded.neurons if n.kind == "sum"} - {n.name for n in spikes.neurons}
    assert sums
    assert all(graph.by_name[name].op in ("add", "reshape") for name in sums)
    into = {n.name: [s for s in spikes.inputs(n.name) if not s.source.endswith("/product")] for n in spikes.neurons}
    twice = [
        name for name, found in into.items() if name in graded.by_name and len(found) > len(graded.inputs(name)) > 0
    ]
    assert twice
    for name in twice:
        assert all(spikes.by_name[s.source].interval.within(BINARY) for s in into[name])
