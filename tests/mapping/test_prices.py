"""Prices: what is counted is what is lowered; the cheapest exact one that fits is taken, or the one asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neurodeploy.errors import UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping import lower, symbolic
from neurodeploy.mapping.prices import ORDERS, Choice, Price, choose, layers_of, price
from neurodeploy.mapping.tile_features import missing_features
from neurodeploy.quantize import quantize
from neurodeploy.targets.loader import load_target
from neurodeploy.targets.target import Fact, Target
from tests.mapping.attention_graphs import attention
from tests.traced_graphs import FAMILIES, pictures

LOIHI2, TRUENORTH = load_target("loihi2"), load_target("truenorth")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Graph:
    """A small network of each family."""
    return quantize(FAMILIES[request.param](0), pictures(2))


def with_fact(target: Target, table: str, key: str, value: int) -> Target:
    """A chip with another number."""
    fact = Fact(target.facts[table][key].unit, "a test", "assumed", value)
    return replace(target, facts={**target.facts, table: {**target.facts[table], key: fact}})


def found(prices: tuple[Price, ...], what: str, name: str) -> Price:
    return next(p for p in prices if p.what == what and p.name == name)


def test_a_price_is_what_the_mapped_network_has(family: Graph) -> None:
    for choice in (Choice("kv"), Choice("qk-saturated-packed"), Choice("kv-packed", "custom", "spikes")):
        own, network, mapped = (
            price(family, LOIHI2, "attention", choice),
            symbolic.lower(family, *choice),
            lower(family, *choice),
        )
        assert own.exact
        assert own.neurons == sum(p.size for p in mapped.populations if p.kind != "source")
        assert own.synapses == sum(s.count for s in network.synapses)
        assert own.depth == max(p.depth for p in mapped.populations)
        assert own.custom == sum(p.size for p in mapped.populations if p.custom)
        sent = [p.interval for p in mapped.populations if p.kind not in ("source", "lif")]
        holds = [bits for bits in range(2, 40) if all(-(1 << bits - 1) <= s.lo and s.hi < 1 << bits - 1 for s in sent)]
        assert own.payload_bits == holds[0]


def test_every_alternative_is_listed(family: Graph) -> None:
    chosen = choose(family, LOIHI2)
    named = [(p.what, p.name) for p in chosen.prices]
    assert [name for what, name in named if what == "attention"] == list(ORDERS)
    assert ("residual", "graded") in named and ("residual", "spikes") in named
    assert (("max-pool", "max neurons") in named) == bool(layers_of(family)["max-pool"])
    rows = chosen.document("auto")["alternatives"]
    assert {row["of"] for row in rows if row["chosen"]} == {what for what, _ in named}


def test_auto_takes_the_fewest_neurons(family: Graph) -> None:
    chosen = choose(family, LOIHI2)
    possible = [p for p in chosen.prices if p.what == "attention" and p.possible]
    assert len(possible) > 2
    best = next(p for p in possible if p.choice == chosen.choice)
    assert best.neurons == min(p.neurons for p in possible)
    assert "fewest neurons" in chosen.why


def test_what_is_asked_for_is_taken(family: Graph) -> None:
    chosen = choose(family, LOIHI2, Choice("qk", residual="spikes"))
    assert chosen.choice == Choice("qk", "stock", "spikes")
    assert chosen.why == "as asked for"


def test_streams_need_custom_neurons() -> None:
    graph = attention(6, 4, 2)
    stock, custom = choose(graph, LOIHI2), choose(graph, LOIHI2, Choice(neurons="custom"))
    assert not found(stock.prices, "attention", "stream").exact
    streamed = found(custom.prices, "attention", "stream")
    assert streamed.exact == (streamed.period == 6)
    assert stock.choice.attention != "stream"


@pytest.mark.parametrize("family", ["qkformer", "spikformer"], indirect=True)
def test_streams_are_taken_where_they_save_chips(family: Graph) -> None:
    """Where one chip is enough either way, no throughput is given away for neurons."""
    prices = choose(family, LOIHI2, Choice(neurons="custom")).prices
    streamed = found(prices, "attention", "stream")
    plain = min((p for p in prices if p.what == "attention" and p.possible and p.period == 1), key=lambda p: p.neurons)
    assert streamed.possible and streamed.neurons < plain.neurons and streamed.period > 1
    chosen = choose(family, LOIHI2, Choice(neurons="custom"))
    assert chosen.choice == plain.choice
    assert f"--attention stream: {streamed.neurons:,} neurons" in chosen.why
    assert f"1/{streamed.period} of the throughput" in chosen.why
    small = with_fact(with_fact(LOIHI2, "core", "neurons", 1), "chip", "cores", streamed.neurons)
    chosen = choose(family, small, Choice(neurons="custom"))
    assert chosen.choice.attention == "stream"
    chips = -(-plain.neurons // streamed.neurons)
    assert f"--attention {plain.name}: {plain.neurons:,} neurons on {chips} chips or more, " in chosen.why
    assert f"{streamed.period} times the throughput" in chosen.why


def test_widths_too_narrow_are_named() -> None:
    prices = choose(attention(60, 40, 4), LOIHI2).prices
    refused = found(prices, "attention", "kv-packed")
    assert not refused.exact and refused.neurons == 0
    row = refused.row(Choice("kv"))
    assert row["neurons"] is None
    assert "two counts up to 2400 in a payload up to 8388607" in row["exact"]


def test_a_binary_chip_takes_no_payloads(family: Graph) -> None:
    for own in choose(family, TRUENORTH).prices:
        assert not own.possible
        if own.exact:
            assert "binary spikes there" in own.misfits
            assert any(reason.startswith("no ") and "sum" in reason for reason in own.misfits)


def test_none_that_fits_leaves_the_one_of_fewest_misfits(family: Graph) -> None:
    """Also where another one has fewer neurons: what misfits has to be mended layer by layer."""
    chosen = choose(family, TRUENORTH)
    exact = [p for p in chosen.prices if p.what == "attention" and p.exact]
    assert "none fits" in chosen.why
    best = next(p for p in exact if p.choice == chosen.choice)
    assert (best.unfit, best.neurons) == min((p.unfit, p.neurons) for p in exact)


def test_misfits_go_before_neurons() -> None:
    """A chip too small for all, whose payloads hold the plain counts and no packed words."""
    graph = attention(12, 8, 2)
    plain, word = (price(graph, LOIHI2, "attention", Choice(order)) for order in ("kv", "kv-packed"))
    assert word.payload_bits > plain.payload_bits and word.neurons < plain.neurons
    narrow = with_fact(LOIHI2, "neuron", "payload_bits", plain.payload_bits)
    for key, table in (("neurons", "core"), ("cores", "chip"), ("chips", "chip")):
        narrow = with_fact(narrow, table, key, 1)
    chosen = choose(graph, narrow)
    best = next(p for p in chosen.prices if p.choice == chosen.choice)
    assert "none fits" in chosen.why and best.unfit == 0
    assert price(graph, narrow, "attention", Choice("kv-packed")).unfit > 0


@pytest.mark.parametrize("family", ["qkformer", "spikformer"], indirect=True)
def test_misfits_are_the_populations_of_the_findings(family: Graph) -> None:
    """Counted here from patterns, and by what refuses the network."""
    target = with_fact(load_target("crossbar-isaac"), "neuron", "payload_bits", 4)
    for choice in (Choice("kv"), Choice("kv-packed"), Choice("qk")):
        own, network = price(family, target, "attention", choice), symbolic.lower(family, *choice)
        found = [f for f in missing_features(network, target) if f.code in ("ND-M202", "ND-M203")]
        sources = {n.name for n in network.neurons if n.kind == "source"}
        assert own.unfit == len({f.layer for f in found} - sources) > 0


def test_payloads_decide(family: Graph) -> None:
    """A chip whose payloads hold the plain counts, and words only just not."""
    plain = price(family, LOIHI2, "attention", Choice("kv"))
    word = price(family, LOIHI2, "attention", Choice("kv-packed"))
    if word.payload_bits > plain.payload_bits:
        narrow = with_fact(LOIHI2, "neuron", "payload_bits", word.payload_bits - 1)
        assert "packed" not in choose(family, narrow).choice.attention


def test_too_many_neurons_do_not_fit(family: Graph) -> None:
    small = with_fact(with_fact(with_fact(LOIHI2, "core", "neurons", 1), "chip", "cores", 1), "chip", "chips", 1)
    assert any("neurons there" in reason for reason in price(family, small, "attention", Choice("kv")).misfits)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="ND-M153"):
        choose(attention(4, 4, 2), LOIHI2, Choice("kq"))  # type: ignore[arg-type]
