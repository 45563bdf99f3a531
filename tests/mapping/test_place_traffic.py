"""Traffic between tiles, held against every synapse of random networks."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
import pytest

from neurodeploy.ir.chip import Axis, ChipNetwork, Cut, Filters, Grid, Nest, Neurons, Shape, Synapses, Tiling, Use
from neurodeploy.ir.placement_recount import recount
from neurodeploy.ir.types import BINARY
from neurodeploy.mapping import place_traffic
from neurodeploy.mapping.place_traffic import UNIT, Traffic, first_tiles, traffic_of
from tests.chipnets import random_network


def _cut(neurons: Neurons, step: Shape, parts: int = 1) -> Cut:
    return Cut(neurons.name, neurons.shape, step, parts, (), lambda _: Use())


def _random_tiling(seed: int) -> Tiling:
    random, network = np.random.default_rng(seed), random_network(seed)
    cuts = {n.name: _cut(n, tuple(int(random.integers(1, s + 1)) for s in n.shape)) for n in network.neurons[1:]}
    return Tiling(network, "a chip", cuts)


def _pairs(traffic: Traffic) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    for a, b, spikes in zip(traffic.source, traffic.target, traffic.spikes, strict=True):
        found[int(a), int(b)] = found.get((int(a), int(b)), 0.0) + float(spikes)
    return found


def _links(tiling: Tiling) -> set[tuple[int, int]]:
    """Tiles between which there is a synapse."""
    first, found = first_tiles(tiling), set()
    for synapses in tiling.network.synapses:
        if synapses.source in first:
            cuts = tiling.cuts[synapses.target], tiling.cuts[synapses.source]
            counted = recount(synapses, cuts[0].step, cuts[1].step, brute=True)
            assert counted is not None
            a, b = counted.links
            found |= set(zip((first[synapses.source] + a).tolist(), (first[synapses.target] + b).tolist(), strict=True))
    return found


@pytest.mark.parametrize("seed", range(60))
def test_every_synapse_has_traffic(seed: int) -> None:
    tiling = _random_tiling(seed)
    traffic = traffic_of(tiling)
    assert traffic is not None
    assert _links(tiling) <= set(_pairs(traffic))
    assert traffic.spikes.min(initial=0) >= 0


def _network(pattern: Nest | Filters, source: Shape, target: Shape) -> ChipNetwork:
    neurons = (
        Neurons("pixels", "source", source, 0, BINARY),
        Neurons("a", "lif", source, 1, BINARY),
        Neurons("b", "lif", target, 2, BINARY),
    )
    axes = (Axis(prod(source), 1, 1),)
    relay = Synapses("pixels->a", "pixels", "a", Nest(axes, 0, 0, np.array(1)), source, source)
    return ChipNetwork(
        "two", "loihi-lava", 4, neurons, (relay, Synapses("a->b", "a", "b", pattern, source, target)), "b"
    )


def _tiling(network: ChipNetwork, steps: Mapping[str, Shape], parts: int = 1) -> Tiling:
    cuts = {name: _cut(network.by_name[name], step, parts if name == "b" else 1) for name, step in steps.items()}
    return Tiling(network, "a chip", cuts)


def test_a_dense_layer_hears_all() -> None:
    nest = Nest((Axis(6, 1, 0), Axis(10, 0, 1)), 0, 0, np.array(1))
    tiling = _tiling(_network(nest, (10,), (6,)), {"a": (4,), "b": (3,)})
    expected = {(a, 3 + b): UNIT * n for a, n in ((0, 4.0), (1, 4.0), (2, 2.0)) for b in (0, 1)}
    assert _pairs(traffic_of(tiling) or place_traffic.silence()) == expected


def test_rates_of_the_neurons_of_a_tile_count() -> None:
    nest = Nest((Axis(6, 1, 0), Axis(10, 0, 1)), 0, 0, np.array(1))
    tiling = _tiling(_network(nest, (10,), (6,)), {"a": (4,), "b": (6,)})
    traffic = traffic_of(tiling, {"a": np.arange(10) / 10})
    assert _pairs(traffic or place_traffic.silence()) == {(0, 3): 600.0, (1, 3): 2200.0, (2, 3): 1700.0}
    halves = traffic_of(tiling, {"a": 0.5})
    assert _pairs(halves or place_traffic.silence()) == {(0, 3): 2000.0, (1, 3): 2000.0, (2, 3): 1000.0}


def test_parts_share_the_axons_and_send_their_sums() -> None:
    nest = Nest((Axis(6, 1, 0), Axis(10, 0, 1)), 0, 0, np.array(1))
    tiling = _tiling(_network(nest, (10,), (6,)), {"a": (2,), "b": (6,)}, parts=2)
    pairs = _pairs(traffic_of(tiling) or place_traffic.silence())
    assert pairs.pop((6, 5)) == 6 * UNIT
    assert sum(pairs.values()) == 10 * UNIT
    assert {a for a, _ in pairs} == set(range(5))


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (2, 2), (3, 2)])
def test_long_grids_are_sampled_and_still_exact(monkeypatch: pytest.MonkeyPatch, kernel: int, stride: int) -> None:
    size, padding = 64, kernel // 2
    out = (size + 2 * padding - kernel) // stride + 1
    weight, planes = np.ones((2, 2, kernel, 1), np.int64), (Grid(size, 1, 1), Grid(out, 1, 1))
    filters = Filters(weight, (stride, 1), (padding, 0), 1, (size, 1), (out, 1), *planes)
    tiling = _tiling(_network(filters, (2, size, 1), (2, out, 1)), {"a": (1, 3, 1), "b": (2, 1, 1)})
    sampled = traffic_of(tiling)
    monkeypatch.setattr(place_traffic, "SAMPLES", 1000)
    asked = traffic_of(tiling)
    assert sampled is not None
    assert asked is not None
    assert _pairs(sampled) == _pairs(asked)


def test_too_many_edges_are_no_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    tiling = _random_tiling(1)
    monkeypatch.setattr(place_traffic, "MOST_EDGES", 3)
    assert traffic_of(tiling) is None
