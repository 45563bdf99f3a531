"""Other forms of attention and of residuals in Lava: every LIF, every step."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.backends.lava import backend
from neurodeploy.backends.reference import run
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping import lower
from neurodeploy.quantize import QuantizeOptions, quantize
from tests.mapping.attention_graphs import attention, spikes
from tests.traced_graphs import FAMILIES, pictures

pytestmark = pytest.mark.lava
FORMS = ["kv-saturated", "kv-packed", "kv-saturated-packed", "qk-saturated-packed"]


def assert_same(graph: Graph, images: np.ndarray, **form: str) -> None:
    """Logits, and spikes and membranes of every LIF in every step."""
    wanted, given = run(graph, images, "all"), backend.run(lower(graph, **form), images, "all")
    assert (wanted.logits == given.logits).all()
    assert list(wanted.spikes) == list(given.spikes) != []
    for name in wanted.spikes:
        assert (wanted.spikes[name] == given.spikes[name]).all(), name
        assert (wanted.membrane[name] == given.membrane[name]).all(), name


@pytest.mark.parametrize("form", FORMS)
def test_attention_alone(form: str) -> None:
    """Counts are clipped, and three channels share a word."""
    images = spikes(10, 9, rate=0.35)
    graph = attention(10, 9, 3)
    assert 0 < run(graph, images).logits.mean() < graph.steps
    assert_same(graph, images, attention=form)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_in_words(family: str) -> None:
    images = pictures(3)
    assert_same(quantize(FAMILIES[family](0), images), images, attention="kv-packed")


@pytest.mark.parametrize("family", FAMILIES)
def test_residuals_without_payloads(family: str) -> None:
    images = pictures(3)
    assert_same(quantize(FAMILIES[family](0), images), images, residual="spikes")


@pytest.mark.parametrize("family", FAMILIES)
def test_threshold_groups(family: str) -> None:
    """A layer of several thresholds is as many populations in Lava, and one layer in the result."""
    images, options = pictures(3), QuantizeOptions(3, rounding="nearest", scale="weight", threshold_groups=4)
    graph = quantize(FAMILIES[family](1), images, options)
    assert any("thresholds" in node.tensors for node in graph.of("lif"))
    assert_same(graph, images)
