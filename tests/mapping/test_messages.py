"""Messages held against neurons and axons that are listed: parts of a fan-in, the host, cores that tiles share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest

from neurodeploy.errors import DoesNotFitError
from neurodeploy.ir.chip import Axis, ChipNetwork, Nest, Neurons, Placement, Synapses, Tiling
from neurodeploy.ir.placement_recount import Digit, digits_of
from neurodeploy.ir.types import BINARY
from neurodeploy.mapping import bill_loads, messages
from neurodeploy.mapping.bill_activity import activity
from neurodeploy.mapping.bill_loads import Links, Loads, loads
from neurodeploy.mapping.messages import first_tiles, messages_of
from neurodeploy.mapping.place import place
from neurodeploy.mapping.place_room import room_of
from neurodeploy.mapping.place_traffic import UNIT, traffic_of
from neurodeploy.mapping.tiles import tile
from neurodeploy.targets import Target
from tests.chipnets import random_network
from tests.mapping.chips import chip

MESH = {"chip__cores": 64, "chip__mesh_x": 8, "chip__mesh_y": 8, "chip__cores_a_router": 1}
SPLIT = {"synapse__any_width": False, "core__synapse_memory": 64, "core__neurons": 24, **MESH}
Pairs = dict[tuple[int, int], float]


def listed(tiling: Tiling, core: np.ndarray, rates: Mapping[str, np.ndarray]) -> tuple[Pairs, float]:
    """Messages from core to core, and those of the host, of every synapse one by one.

    A part of a fan-in hears the axons of its share of the terms; fan-ins in parts are dense here.
    """
    first, heard = first_tiles(tiling), set[tuple[str, int, int]]()
    home = {name: _homes(tiling, name, core) for name in first}
    for s in tiling.network.synapses:
        start, digits = digits_of(s.pattern)
        whole, cut = reduce(Digit.times, digits), tiling.cuts[s.target]
        terms = prod_of_terms(s)
        part = np.zeros(len(whole.target), np.int64)
        if cut.parts > 1:
            ends = np.array([p * terms // cut.parts for p in range(1, cut.parts)])
            part = np.searchsorted(ends, np.arange(len(part)) % terms, "right")
        cores = home[s.target][start[0] + whole.target, part]
        heard |= {(s.source, int(n), int(c)) for n, c in zip(start[1] + whole.source, cores, strict=True)}
    found, host = Pairs(), 0.0
    for name, neuron, listener in sorted(heard):
        rate = float(rates[name].reshape(-1)[neuron])
        if name not in home:
            host += rate
            continue
        pair = int(home[name][neuron, 0]), listener
        found[pair] = found.get(pair, 0.0) + rate
    return found, host


def prod_of_terms(one: Synapses) -> int:
    """Terms of a dense layer, whose last loop walks them."""
    assert isinstance(one.pattern, Nest)
    return one.pattern.axes[-1].size


def _homes(tiling: Tiling, name: str, core: np.ndarray) -> np.ndarray:
    """int64 [neurons, parts], the core of each part of each neuron."""
    cut, found = tiling.cuts[name], np.zeros((*tiling.cuts[name].shape, tiling.cuts[name].parts), np.int64)
    for number, (index, part) in enumerate((i, p) for i in np.ndindex(cut.counts) for p in range(cut.parts)):
        box = cut.tile(index, part).box
        found[(*map(slice, box.start, box.stop), part)] = core[first_tiles(tiling)[name] + number]
    return found.reshape(-1, cut.parts)


def dense(*sizes: int) -> ChipNetwork:
    """Linear layers, one after another; the first population is the host's."""
    neurons = [Neurons(f"p{i}", "lif" if i else "source", (n,), i, BINARY, resets=i > 0) for i, n in enumerate(sizes)]
    synapses = []
    for a, b in pairwise(neurons):
        weight = np.arange(a.size * b.size).reshape(b.size, a.size) % 5 - 2
        nest = Nest((Axis(b.size, 1, 0), Axis(a.size, 0, 1)), 0, 0, weight)
        synapses.append(Synapses(f"{a.name}->{b.name}", a.name, b.name, nest, a.shape, b.shape))
    return ChipNetwork("dense", "loihi-lava", 4, tuple(neurons), tuple(synapses), neurons[-1].name)


def rates_of(network: ChipNetwork, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {n.name: random.random(n.shape) for n in network.neurons}


def loads_of(tiling: Tiling, target: Target) -> tuple[Placement, Loads]:
    rates, room = rates_of(tiling.network), room_of(target)
    assert room is not None
    placement = place(tiling, target, rates)
    return placement, loads(placement, activity(tiling.network, rates, 1), room)


def links_of(found: Loads) -> Links:
    assert found.links is not None
    return found.links


def split() -> tuple[Tiling, Target]:
    """Dense layers whose fan-ins are in parts on cores."""
    target = chip("loihi2", **SPLIT)
    tiling = tile(dense(30, 20, 90, 6), target)
    assert tiling.cuts["p3"].parts > 1
    return tiling, target


@pytest.mark.parametrize("shared", [False, True])
def test_parts_hear_their_share_and_send_their_sums(shared: bool) -> None:
    tiling, _ = split()
    core = np.arange(tiling.tiles) // (3 if shared else 1)
    rates, count = rates_of(tiling.network), int(core.max()) + 1
    found = messages_of(tiling, core, count, rates)
    wanted, host = listed(tiling, core, rates)
    assert found is not None and found.host == pytest.approx(host)
    first, sums = first_tiles(tiling), 0
    for name, cut in tiling.cuts.items():
        for box, index in enumerate(np.ndindex(cut.counts)):
            for part in range(1, cut.parts):
                number = first[name] + box * cut.parts
                pair = int(core[number + part]), int(core[number])
                wanted[pair] = wanted.get(pair, 0.0) + cut.tile(index).box.size
                sums += cut.tile(index).box.size
    assert found.sums == sums > 0
    got = dict(zip(zip(found.source.tolist(), found.target.tolist(), strict=True), found.sent.tolist(), strict=True))
    assert got.keys() == wanted.keys()
    assert got == pytest.approx(wanted)


def test_parts_need_neurons_in_cores_and_none_on_arrays() -> None:
    tiling, target = split()
    placement, found = loads_of(tiling, target)
    wanted = sum(tiling.network.by_name[name].size * cut.parts for name, cut in tiling.cuts.items())
    assert found.neurons == wanted == sum(use.neurons * n for use, n in placement.classes)
    assert found.cores is not None and found.cores.neurons.sum() == wanted
    own = sum(rates.sum() for name, rates in rates_of(tiling.network).items() if name in tiling.cuts)
    more = wanted - sum(tiling.network.by_name[name].size for name in tiling.cuts)
    assert found.fired == pytest.approx(own + more) and found.least == "bound"  # no one knows which sums are zero
    assert links_of(found).least == "bound" and "sums of parts" in links_of(found).how

    array = chip("crossbar-isaac", crossbar__rows=16, **{key: MESH[key] for key in ("chip__mesh_x", "chip__mesh_y")})
    tiling = tile(dense(30, 20, 90, 6), array)
    assert any(cut.parts > 1 for cut in tiling.cuts.values())
    _, found = loads_of(tiling, array)
    assert found.neurons == 20 + 90 + 6 and found.least == "measured"


def test_the_host_sends_each_pixel_once_to_each_core_that_listens() -> None:
    target = chip("loihi2", core__neurons=5, **MESH)
    tiling = tile(dense(30, 20), target)
    rates = rates_of(tiling.network)
    cores = tiling.cuts["p1"].count
    found = [messages_of(tiling, core, cores, rates) for core in (np.arange(cores), np.arange(cores) // 2)]
    assert [one.host for one in found if one] == pytest.approx(
        [cores * rates["p0"].sum(), cores / 2 * rates["p0"].sum()]
    )
    assert [len(one.sent) for one in found if one] == [0, 0]


@pytest.mark.parametrize("seed", range(6))
def test_messages_fall_where_tiles_share_a_core(seed: int) -> None:
    """All tiles in one core: each neuron that anyone listens to sends one message; apart, one a tile that listens."""
    tiling = tile(random_network(seed), chip("loihi2", core__neurons=4, **MESH))
    rates = rates_of(tiling.network, seed)
    apart, pairs, one = (np.arange(tiling.tiles), np.arange(tiling.tiles) // 2, np.zeros(tiling.tiles, np.int64))
    total = []
    for core in (apart, pairs, one):
        found = messages_of(tiling, core, int(core.max()) + 1, rates)
        assert found is not None
        total.append(float(found.sent.sum()) + found.host)
    heard = {(s.source, int(n)) for s in tiling.network.synapses for n in _axons(s)}
    assert total[2] == pytest.approx(sum(float(rates[name].reshape(-1)[n]) for name, n in heard))
    assert total[0] >= total[1] >= total[2] and total[0] > total[2]


def _axons(one: Synapses) -> list[int]:
    start, digits = digits_of(one.pattern)
    return np.unique(start[1] + reduce(Digit.times, digits).source).tolist()


def test_too_many_axons_are_estimated_by_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    target = chip("loihi2", core__neurons=16, **MESH)
    tiling = tile(random_network(2), target)
    _, exact = loads_of(tiling, target)
    monkeypatch.setattr(messages, "MOST_AXONS", 0)
    _, found = loads_of(tiling, target)
    links, edges = links_of(found), traffic_of(tiling, rates_of(tiling.network))
    assert edges is not None
    assert links.messages == pytest.approx(float(edges.spikes.sum()) / UNIT)
    assert (links.least, links.how, links.host) == ("estimated", bill_loads.ESTIMATE, None)
    assert links.messages != links_of(exact).messages and links_of(exact).least == "measured"


def strided(target: Target, tiles: int = 4) -> Tiling:
    """Neuron i of the second layer hears neurons i and i + tiles of the first: the box around them has all between."""
    source, first = (
        Neurons(name, kind, (2 * tiles,), depth, BINARY) for name, kind, depth in (("s", "source", 0), ("a", "lif", 1))
    )
    second = Neurons("b", "lif", (tiles,), 2, BINARY)
    same = Nest((Axis(2 * tiles, 1, 1),), 0, 0, np.asarray(1))
    pairs = Nest((Axis(tiles, 1, 1), Axis(2, 0, tiles)), 0, 0, np.asarray(1))
    synapses = (
        Synapses("s->a", "s", "a", same, source.shape, first.shape),
        Synapses("a->b", "a", "b", pairs, first.shape, second.shape),
    )
    return tile(ChipNetwork("strided", "loihi-lava", 4, (source, first, second), synapses, "b"), target)


def test_destinations_are_counted_by_axons_where_boxes_meet_too_many() -> None:
    target = chip("loihi2", core__neurons=1, core__destinations=1, **MESH)
    tiling = strided(target)
    edges = traffic_of(tiling)
    assert edges is not None
    boxes = edges.directed(np.arange(tiling.tiles), tiling.tiles)
    assert int(np.bincount(boxes.source).max()) > 1  # by boxes a neuron would send to several cores
    assert place(tiling, target).used_cores == tiling.tiles


def test_destinations_beyond_the_chip_are_refused() -> None:
    target = chip("loihi2", core__neurons=1, core__destinations=2, **MESH)
    with pytest.raises(DoesNotFitError) as error:
        place(tile(dense(2, 3, 4), target), target)
    (finding,) = error.value.findings
    assert (finding.code, finding.need) == ("ND-M305", "at most 2 cores that one core's spikes go to")
    assert finding.have == "a core whose spikes go to 4"
