"""Custom neurons in Lava: spikes and membranes of the quantized graph, and none where stock neurons were asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.lava import backend, emit
from neurodeploy.backends.reference import run
from neurodeploy.backends.result import RunResult
from neurodeploy.errors import VerifyError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.mapped import MappedGraph
from neurodeploy.mapping import lower
from neurodeploy.quantize import quantize
from tests.mapping.test_lower import pooled
from tests.traced_graphs import FAMILIES, pictures


def largest(neurons: str = "custom") -> tuple[Graph, MappedGraph, np.ndarray]:
    """A max-pool of signed currents over windows wider than a neuron has ports."""
    graph = pooled((6, 3), (2, 2), (3, 1), signed=True)
    high = {"s": replace(graph.by_name["s"], attributes={**graph.by_name["s"].attributes, "vth": 900})}
    graph = graph.with_nodes(high.get(node.name, node) for node in graph.nodes)
    images = np.random.default_rng(7).uniform(-1, 1, (2, 1, 7, 6)).astype(np.float32)
    return graph, lower(graph, neurons=neurons), images  # type: ignore[arg-type]


@pytest.mark.lava
@pytest.mark.parametrize("runtime", ["inprocess", "multiprocess"])
def test_the_largest_of_several_ports(runtime: backend.Runtime) -> None:
    graph, mapped, images = largest()
    wanted = run(graph, images, "all")
    assert all(0 < spikes.mean() < 1 for spikes in wanted.spikes.values())
    assert_equal(backend.run(mapped, images, "all", runtime=runtime), wanted)


def assert_equal(given: RunResult, wanted: RunResult) -> None:
    np.testing.assert_array_equal(given.logits, wanted.logits)
    assert set(given.spikes) == set(wanted.spikes)
    for name, spikes in wanted.spikes.items():
        np.testing.assert_array_equal(given.spikes[name], spikes, name)
        np.testing.assert_array_equal(given.membrane[name], wanted.membrane[name], name)


def test_only_custom_networks_bring_custom_processes(tmp_path: Path) -> None:
    for neurons, brought in (("stock", False), ("custom", True)):
        folder = emit.export(largest(neurons)[1], tmp_path / neurons)
        assert (folder / "runtime" / "custom" / "maximum.py").is_file() == brought
        assert ("custom neurons" in (folder / "README.md").read_text()) == brought


def test_a_stock_network_has_stock_neurons_alone() -> None:
    mapped = replace(largest()[1], neurons="stock")
    with pytest.raises(VerifyError, match="ND-M108") as caught:
        emit.check_mapped(mapped)
    assert {finding.have for finding in caught.value.findings} == {"max"}


@pytest.mark.lava
@pytest.mark.parametrize("family", FAMILIES)
def test_streamed_attention(family: str) -> None:
    images = pictures(2)
    graph = quantize(FAMILIES[family](0, steps=2), images)
    mapped = lower(graph, "stream", "custom")
    assert {"hold", "memory"} <= {p.kind for p in mapped.populations}
    wanted, given = run(graph, images, "all"), backend.run(mapped, images, "all")
    assert_equal(given, wanted)
