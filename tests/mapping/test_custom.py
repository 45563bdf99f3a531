"""Custom neurons: the same spikes and membranes as the quantized graph, in fewer neurons and steps."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.samples import random_graph, random_images
from neurodeploy.mapping import lower
from neurodeploy.quantize import quantize
from tests.mapping.test_lower import assert_equal_runs, pooled
from tests.traced_graphs import FAMILIES, pictures


@pytest.mark.parametrize("window", [(3, 3), (1, 3), (2, 4), (6, 5), (7, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize("signed", [False, True])
def test_max_neurons(window: tuple[int, int], stride: tuple[int, int], signed: bool) -> None:
    for padding in {(0, 0), (window[0] // 2, window[1] // 2)}:
        graph = pooled(window, stride, padding, signed)
        images = np.random.default_rng(5).uniform(-1 if signed else 0, 1, (3, 1, 7, 6)).astype(np.float32)
        assert_equal_runs(graph, images, neurons="custom")


def test_they_spare_neurons_and_steps() -> None:
    graph = pooled((3, 3), (2, 2), (1, 1), signed=True)
    stock, custom = lower(graph), lower(graph, neurons="custom")
    assert not any(p.custom for p in stock.populations)
    assert {p.kind for p in custom.populations if p.custom} == {"max"}
    assert sum(p.size for p in custom.populations) < sum(p.size for p in stock.populations)
    assert custom.depth < stock.depth


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str) -> None:
    images = pictures(3)
    assert_equal_runs(quantize(FAMILIES[family](1), images), images, neurons="custom")


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed: int) -> None:
    graph = remove_dead(random_graph(seed))
    assert_equal_runs(graph, random_images(graph, 2, seed), neurons="custom")
