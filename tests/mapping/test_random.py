"""Random legal graphs: the mapped graph, step by step, equals the quantized graph in every spike and membrane."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodeploy.ir.artefact import load
from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.samples import random_graph, random_images
from tests.mapping.test_lower import assert_equal_runs

GRAPHS, CHUNK = 200, 20
# Graphs that once differed, as artefacts, so that they outlive a change of the generator.
CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.onnx"))


@pytest.mark.parametrize("start", range(0, GRAPHS, CHUNK))
def test_mapped_equals_quantized(start: int) -> None:
    for seed in range(start, start + CHUNK):
        graph = remove_dead(random_graph(seed))
        assert_equal_runs(graph, random_images(graph, 2, seed))


def test_corpus_is_there() -> None:
    assert CORPUS


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_once_differed(path: Path) -> None:
    graph = load(path)
    assert_equal_runs(graph, random_images(graph, 4, 1))
