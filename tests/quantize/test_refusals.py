"""What the quantizer refuses in a traced graph: the code, and the layer that it names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from neurodeploy.errors import UnsupportedModelError
from neurodeploy.quantize import quantize
from tests.traced_graphs import Sketch, pictures


def branch(s: Sketch, name: str) -> str:
    """Spikes of a convolution of the pixels."""
    return s.lif(name, s.conv(name, "images", (4, 1, 3, 3), padding=1))


def padded_convolution_on_a_current(s: Sketch) -> str:
    return s.lif("b", s.conv("b", s.conv("a", "images", (4, 1, 3, 3), padding=1), (4, 4, 3, 3), padding=1))


def convolution_added_to_what_it_reads(s: Sketch) -> str:
    current = s.conv("a", branch(s, "in"), (4, 4, 1, 1))
    return s.lif("b", s.op("add", "sum", current, s.conv("b", current, (4, 4, 1, 1))))


def mask_on_a_current(s: Sketch) -> str:
    return s.lif("b", s.op("mul", "masked", branch(s, "a"), s.conv("b", "images", (4, 1, 3, 3), padding=1)))


def half_a_current_added(s: Sketch) -> str:
    current = s.conv("b", branch(s, "a"), (4, 4, 1, 1))
    return s.lif("b", s.op("add", "both", current, s.op("scale", "half", current, factor=0.5)))


def spikes_of_two_scales_join(s: Sketch) -> str:
    """What is worth a whole number of units for the one is none for the other."""
    current = s.op("add", "first", s.conv("b", branch(s, "a"), (4, 4, 1, 1)), branch(s, "c"))
    odd = s.op("scale", "odd", branch(s, "d"), factor=1.2345)
    return s.lif("b", s.op("add", "second", current, odd))


def a_bias_along_the_map_is_pooled(s: Sketch) -> str:
    current = s.op("permute", "turned", s.conv("b", branch(s, "a"), (4, 4, 1, 1)), axes=(1, 0, 2))
    pooled = s.op("max_pool", "pooled", current, kernel=(1, 1), stride=(1, 1), padding=(0, 0))
    return s.lif("b", s.op("permute", "back", pooled, axes=(1, 0, 2)))


def tokens_are_mixed(s: Sketch) -> str:
    """A convolution over the tokens of a current: its bias is not one a channel of what it reads."""
    current = s.op("reshape", "tokens", s.conv("b", branch(s, "a"), (4, 4, 1, 1)), shape=(4, 16))
    mixed = s.conv("mix", s.op("permute", "turned", current, axes=(1, 0)), (16, 16, 1))
    return s.op("reshape", "map", s.lif("c", mixed), shape=(4, 4, 4))


def channels_are_merged(s: Sketch) -> str:
    current = s.op("reshape", "merged", s.conv("b", branch(s, "a"), (4, 4, 1, 1)), shape=(2, 8, 4))
    other = s.op("reshape", "wide", s.conv("other", "a_lif", (4, 4, 1, 1)), shape=(2, 8, 4))
    spikes = s.lif("c", s.op("add", "both", s.conv("mix", current, (2, 2, 1, 1)), other))
    return s.op("reshape", "map", spikes, shape=(4, 4, 4))


def threshold_below_any_unit(s: Sketch) -> str:
    current = s.conv("b", branch(s, "a"), (4, 4, 1, 1))
    return s.op("add", "both", s.lif("c", current), s.lif("d", s.op("scale", "times", current, factor=1e6)))


def unequal_scales(s: Sketch) -> str:
    return s.op("add", "both", branch(s, "a"), s.op("scale", "half", branch(s, "b"), factor=0.5))


def negative_factor(s: Sketch) -> str:
    return s.lif("b", s.op("scale", "turned", branch(s, "a"), factor=-1.0))


def factor_zero(s: Sketch) -> str:
    return s.lif("b", s.op("scale", "nothing", branch(s, "a"), factor=0.0))


def counts_as_a_mask(s: Sketch) -> str:
    a, b = branch(s, "a"), branch(s, "b")
    return s.op("mul", "masked", s.op("add", "both", a, b), a)


REFUSED: list[tuple[Callable[[Sketch], str], list[tuple[str, str]]]] = [
    (padded_convolution_on_a_current, [("ND-Q011", "a_conv")]),
    (convolution_added_to_what_it_reads, [("ND-Q012", "a_conv"), ("ND-Q012", "b_conv")]),
    (mask_on_a_current, [("ND-Q011", "b_conv")]),
    (half_a_current_added, [("ND-Q021", "both")]),
    (spikes_of_two_scales_join, [("ND-Q024", "second")]),
    (a_bias_along_the_map_is_pooled, [("ND-Q023", "pooled")]),
    (tokens_are_mixed, [("ND-Q026", "mix_conv")]),
    (channels_are_merged, [("ND-Q026", "mix_conv")]),
    (threshold_below_any_unit, [("ND-Q027", "d_lif")]),
    (unequal_scales, [("ND-Q021", "both")]),
    (negative_factor, [("ND-Q022", "turned")]),
    (factor_zero, [("ND-Q022", "nothing")]),
    (counts_as_a_mask, [("ND-Q010", "masked")]),
]


@pytest.mark.parametrize(("body", "wanted"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_refused(body: Callable[[Sketch], str], wanted: list[tuple[str, str]]) -> None:
    s = Sketch()
    s.op("input", "images", shape=(1, 4, 4))
    x = s.op("reduce_mean", "gap", body(s), axes=(1, 2), keepdims=0)
    s.op("conv", "head", x, tensors={"weight": np.ones((3, 4))}, stride=(), padding=(), groups=1)
    with pytest.raises(UnsupportedModelError) as caught:
        quantize(s.finish("refused", 4, "head"), pictures(4, size=4))
    findings = caught.value.findings
    assert [(f.code, f.layer) for f in findings] == wanted
    assert all(f.need and f.have and f.next and f.source.startswith("sketch.py:") for f in findings)
