"""Random legal graphs: the mapped graph, step by step, equals the quantized graph in every spike and membrane."""

from __future__ import annotations

import pytest

from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.samples import random_graph, random_images
from tests.mapping.test_lower import assert_equal_runs

GRAPHS, CHUNK = 200, 20
FOUND = {0: "a grouped layer without positions", 3: "a max-pool over one axis", 16: "a weight of -128"}


@pytest.mark.parametrize("start", range(0, GRAPHS, CHUNK))
def test_mapped_equals_quantized(start: int) -> None:
    for seed in range(start, start + CHUNK):
        graph = remove_dead(random_graph(seed))
        assert_equal_runs(graph, random_images(graph, 2, seed))


@pytest.mark.parametrize("seed", FOUND, ids=FOUND.get)
def test_what_once_differed(seed: int) -> None:
    graph = remove_dead(random_graph(seed))
    assert_equal_runs(graph, random_images(graph, 4, seed + 1))
