"""Every processor path equals the reference: logits, spikes and membranes, without tolerance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends import native, reference
from neurodeploy.backends.native import conv, lookup
from neurodeploy.backends.native.engine import PATH_VARIABLE
from neurodeploy.backends.result import RunResult
from neurodeploy.ir.artefact import load
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.samples import SAMPLERS, random_graph, random_images, sample

GRAPHS, BLOCK = 2000, 100
BLOCKS = [range(start, start + BLOCK) for start in range(0, GRAPHS, BLOCK)]
# Graphs on which two executors once differed, as artefacts, so that they outlive a change of the generator.
CORPUS = sorted((Path(__file__).parents[1] / "onnx" / "corpus").glob("*.onnx"))

EVENT_LIMITS = {name: getattr(conv, name) for name in ("LEAST_EVENT_OUTPUTS", "LEAST_EVENT_CHANNELS")}


def differences(expected: RunResult, found: RunResult) -> list[str]:
    """What differs, by name."""
    pairs = {"logits": (expected.logits, found.logits)}
    pairs |= {f"spikes of {name}": (value, found.spikes[name]) for name, value in expected.spikes.items()}
    pairs |= {f"membranes of {name}": (value, found.membrane[name]) for name, value in expected.membrane.items()}
    return [what for what, (a, b) in pairs.items() if a.dtype != b.dtype or not np.array_equal(a, b)]


def assert_equal(graph: Graph, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All paths give the reference's integers, alone and with two threads, with and without probes."""
    images = random_images(graph, 2, seed)
    for name, usual in EVENT_LIMITS.items():  # every other graph takes the event path, whatever the size of a layer
        monkeypatch.setattr(conv, name, 0 if seed % 2 else usual)
    monkeypatch.setenv(lookup.FORCE, str(seed // 2 % 2))  # and every other pair the tables, where the path has them
    expected = reference.run(graph, images, "all")
    for index, path in enumerate(native.paths()):
        monkeypatch.setenv(PATH_VARIABLE, path)
        found = native.run(graph, images, "all", batch=1, threads=1 + (seed + index) % 2)
        assert set(found.spikes) == set(expected.spikes)
        assert differences(expected, found) == [], f"{graph.name} on {path}"
    plain = native.run(graph, images, threads=1)
    assert np.array_equal(plain.logits, expected.logits), f"{graph.name} without probes"


@pytest.mark.parametrize("seeds", BLOCKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_random_graphs(seeds: range, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in seeds:
        assert_equal(random_graph(seed), seed, monkeypatch)


@pytest.mark.parametrize("op", SAMPLERS)
def test_each_op(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(12):
        assert_equal(sample(op, seed), seed, monkeypatch)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(4):
        assert_equal(load(path), seed, monkeypatch)
