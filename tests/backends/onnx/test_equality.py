"""ONNX Runtime equals the reference on random legal graphs: logits, spikes and membranes, without tolerance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends import reference
from neurodeploy.backends.onnx import run
from neurodeploy.ir.artefact import load
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.samples import SAMPLERS, random_graph, random_images, sample
from neurodeploy.numerics import INT32

pytest.importorskip("onnxruntime")

BLOCKS = [range(start, start + 30) for start in range(0, 300, 30)]
# Graphs on which two executors once differed, as artefacts, so that they outlive a change of the generator.
CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.onnx"))


def assert_equal(graph: Graph, seed: int = 0, samples: int = 3) -> None:
    """Both executors give the same integers, and probes of every LIF."""
    images = random_images(graph, samples, seed)
    expected = reference.run(graph, images, "all")
    found = run(graph, images, "all", batch=2, threads=1)
    assert np.array_equal(expected.logits, found.logits)
    assert found.logits.dtype == np.int64
    assert set(expected.spikes) == set(found.spikes) == {node.name for node in graph.of("lif")}
    for name, spikes in expected.spikes.items():
        assert found.spikes[name].dtype == np.uint8 and found.membrane[name].dtype == np.int32
        assert np.array_equal(spikes, found.spikes[name]), f"{graph.name}: spikes of {name}"
        assert np.array_equal(expected.membrane[name], found.membrane[name]), f"{graph.name}: membranes of {name}"


@pytest.mark.parametrize("seeds", BLOCKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_random_graphs(seeds: range) -> None:
    for seed in seeds:
        assert_equal(random_graph(seed), seed)


@pytest.mark.parametrize("seeds", BLOCKS[:3], ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_random_graphs_of_the_cpu_profile(seeds: range) -> None:
    for seed in seeds:
        assert_equal(random_graph(seed, INT32), seed)


@pytest.mark.parametrize("op", sorted(SAMPLERS))
def test_samples_of_each_op(op: str) -> None:
    for seed in range(5):
        assert_equal(sample(op, seed), seed)


def test_corpus_is_there() -> None:
    assert CORPUS


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(path: Path) -> None:
    assert_equal(load(path), samples=8)
