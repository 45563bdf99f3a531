"""Forms of attention: each equals the quantized graph in every spike and membrane, or is refused with its numbers."""

from __future__ import annotations

import re

import pytest

from neurodeploy.backends.reference import run
from neurodeploy.errors import DoesNotFitError
from neurodeploy.mapping import lower, symbolic
from neurodeploy.mapping.attention import chains as chains_of
from neurodeploy.mapping.attention import largest_count, packing, saturation
from neurodeploy.quantize import quantize
from tests.mapping.attention_graphs import attention, spikes
from tests.mapping.test_lower import assert_equal_runs
from tests.mapping.test_symbolic import assert_same_networks, assert_same_synapses
from tests.traced_graphs import FAMILIES, pictures

FORMS = [f"{order}-{form}" for order in ("kv", "qk") for form in ("saturated", "packed", "saturated-packed")]
SIZES = [(12, 6, 4), (10, 9, 3), (5, 4, 1), (9, 16, 8)]  # tokens, channels, counts that fire


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_families(form: str, family: str) -> None:
    images = pictures(3, seed=1)
    assert_equal_runs(quantize(FAMILIES[family](1), images), images, attention=form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("rate", [0.2, 0.35])
def test_attention_alone(form: str, size: tuple[int, int, int], rate: float) -> None:
    graph, images = attention(*size), spikes(*size[:2], rate=rate)
    assert 0 < run(graph, images).logits.mean() < graph.steps
    assert_equal_runs(graph, images, attention=form)


@pytest.mark.parametrize("form", FORMS)
def test_both_networks_are_the_same(form: str) -> None:
    graph = attention(6, 4, 2)
    network, mapped = symbolic.lower(graph, form), lower(graph, form)
    assert_same_networks(network, mapped)
    assert_same_synapses(network, mapped)


def test_words_hold_more_than_two_channels() -> None:
    """Clipped at 3, nine channels' counts reach 27: 5 bits, and three channels a word divide nine."""
    graph = attention(10, 9, 3)
    (chain,) = chains_of(graph)
    assert saturation(graph, chain) == 3
    words = packing(graph, chain, largest_count(graph, chain, saturated=True))
    assert words and (words.channels, words.bits) == (3, 5)
    plain, packed = (
        sum(n.size for n in symbolic.lower(graph, form).neurons if n.kind == "product")
        for form in ("kv", "kv-saturated-packed")
    )
    assert plain == 3 * packed


def test_clipped_counts_need_few_bits() -> None:
    graph = attention(30, 6, 4)
    widest = {
        form: max(n.interval.hi for n in symbolic.lower(graph, form).neurons if n.kind == "product")
        for form in ("kv", "kv-saturated")
    }
    assert widest == {"kv": 30, "kv-saturated": 4}


REFUSED = [
    ("kv-saturated", {"bias": -1}, "no negative bias"),
    ("kv-saturated", {"du": 3000}, "a current that lasts for its step"),
    ("kv-saturated", {"hi": 2}, "spikes that the clipped"),
    ("kv-saturated", {"lo": -1}, "never negative"),
    ("kv-packed", {"lo": -1}, "never negative"),
    ("kv-saturated", {"theta": 17}, "at most 16"),
    ("kv-packed", {"tokens": 60, "channels": 40}, "two counts up to 2400 in a payload up to 8388607"),
    ("qk-packed", {"channels": 7, "tokens": 9}, "a number of channels"),
    ("kv-packed", {"channels": 1}, "a number of channels"),
    ("kv-packed", {"channels": 11, "tokens": 9}, "a number of channels"),
]


@pytest.mark.parametrize(("form", "change", "need"), REFUSED, ids=[f"{f}-{n}" for f, _, n in REFUSED])
def test_what_would_not_be_exact_is_refused(form: str, change: dict[str, int], need: str) -> None:
    size = {"tokens": 20, "channels": 6, "theta": 4, **change}
    with pytest.raises(DoesNotFitError) as caught:
        lower(attention(**size), form)
    assert {f.code for f in caught.value.findings} == {"ND-M152"}
    assert any(re.search(need, f.need) for f in caught.value.findings)
