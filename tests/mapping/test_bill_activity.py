"""Messages and synaptic events from patterns, beside plain loops over all synapses and the mapped reference."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from neurodeploy.api import CompiledModel
from neurodeploy.backends.reference.mapped import _Chip, _encode
from neurodeploy.ir.chip import Synapses
from neurodeploy.mapping.bill_activity import activity, arriving, events
from neurodeploy.mapping.bill_meter import Meter
from neurodeploy.mapping.lower import walk
from neurodeploy.mapping.prices import Choice
from neurodeploy.mapping.symbolic import lower
from neurodeploy.quantize import quantize
from tests.chipnets import random_network
from tests.ir.test_chip import listed
from tests.traced_graphs import FAMILIES, pictures

SEEDS = range(12)
FORMS = [Choice(), Choice("kv"), Choice("kv-saturated"), Choice("qk-saturated-packed"), Choice("kv", "custom")]
FORMS += [Choice("auto", "stock", "spikes")]


def crossbars() -> list[Synapses]:
    return [synapses for seed in SEEDS for synapses in random_network(seed).synapses]


def test_arriving_and_events_count_what_loops_count() -> None:
    random = np.random.default_rng(0)
    for synapses in crossbars():
        rates = random.random(synapses.source_shape)
        came = np.zeros(prod(synapses.target_shape))
        for to, of, weight, _ in listed(synapses.pattern):
            came[to] += rates.flat[of] * (weight != 0)
        np.testing.assert_allclose(arriving(synapses, rates), came, atol=1e-9)
        assert events(synapses, rates) == pytest.approx(came.sum())


def test_weighted_sums_are_exact() -> None:
    random = np.random.default_rng(1)
    for synapses in crossbars():
        sent = random.integers(-100, 100, synapses.source_shape).astype(np.float64)
        came = np.zeros(prod(synapses.target_shape))
        for to, of, weight, _ in listed(synapses.pattern):
            came[to] += sent.flat[of] * weight
        assert np.array_equal(arriving(synapses, sent, weighted=True), came)


def test_one_rate_for_all_neurons_is_the_same_as_an_array_of_it() -> None:
    half = np.asarray(0.5)
    for synapses in crossbars():
        whole = np.full(synapses.source_shape, 0.5)
        assert events(synapses, half) == pytest.approx(events(synapses, whole))
        assert np.array_equal(arriving(synapses, half), arriving(synapses, whole))


def test_what_was_not_measured_is_a_bound() -> None:
    network = random_network(3)
    first = network.neurons[0]
    found = activity(network, {first.name: np.full(first.shape, 0.25)}, 2)
    assert (found.status[first.name], found.worst) == ("measured", "bound")
    assert found.messages(first.name) == first.size / 4
    assert activity(network).messages(first.name) == first.size


@pytest.mark.parametrize("form", FORMS, ids="-".join)
@pytest.mark.parametrize("family", FAMILIES)
def test_rates_are_those_of_the_mapped_reference(family: str, form: Choice) -> None:
    """Every population, helpers of pools, products, clipped counts and words among them."""
    deployed = CompiledModel(quantize(FAMILIES[family](), pictures(8)))
    graph, images = deployed.graph, pictures(3)
    meter = Meter.of(lower(graph, *form), graph, walk(graph, *form).graph)
    deployed.run(images, "reference", batch=1, watch=meter.add)
    wanted, found = counted(deployed, form, images), meter.rates()
    assert found.keys() == wanted.keys()
    for name, rates in wanted.items():
        assert np.array_equal(found[name].ravel(), rates), name


def counted(deployed: CompiledModel, form: Choice, images: np.ndarray) -> dict[str, np.ndarray]:
    """Population -> share of the steps in which each neuron sent something, in the mapped reference."""
    from neurodeploy.mapping import lower as materialised

    mapped = materialised(deployed.graph, *form)
    chip, total = _Chip(mapped, _encode(mapped, images)), len(images) * mapped.steps
    found = {p.name: np.zeros(p.size, np.int64) for p in mapped.populations}
    for now in range(total + max(p.depth for p in mapped.populations)):
        chip.step(now)
        for p in mapped.populations:
            if 0 <= now - p.depth < total:
                found[p.name] += chip.sent[p.name][-1] != 0
    return {name: count / total for name, count in found.items()}
