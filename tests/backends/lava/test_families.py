"""A tiny network of each family through the lowering to Lava: every LIF, every step, both runtimes."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.backends.lava import backend
from neurodeploy.backends.reference import run
from neurodeploy.backends.result import RunResult
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.samples import random_graph, random_images
from neurodeploy.mapping import lower
from neurodeploy.quantize import quantize
from tests.traced_graphs import FAMILIES, pictures

pytestmark = pytest.mark.lava
LIVELY = {"qkformer": (31, 91), "spikformer": (48, 48)}  # every LIF fires: on 4 images of 8x8, on 2 of 4x4
SEEDS = [seed for seed in range(20) if remove_dead(random_graph(seed)).of("lif")]  # 5: a neuron without an axis


def assert_same(graph: Graph, images: np.ndarray, given: RunResult) -> None:
    """Logits, and spikes and membranes of every LIF in every step."""
    wanted = run(graph, images, "all")
    assert (wanted.logits == given.logits).all()
    assert list(wanted.spikes) == list(given.spikes) != []
    for name in wanted.spikes:
        assert (wanted.spikes[name] == given.spikes[name]).all(), name
        assert (wanted.membrane[name] == given.membrane[name]).all(), name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("conv", ["shared", "unrolled"])
@pytest.mark.parametrize("attention", ["kv", "qk"])
def test_one_process(family: str, conv: backend.Conv, attention: str) -> None:
    images = pictures(4)
    graph = quantize(FAMILIES[family](LIVELY[family][0]), images)
    given = backend.run(lower(graph, attention), images, "all", conv=conv)
    assert_same(graph, images, given)
    assert all(spikes.any() for spikes in given.spikes.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_real_runtime(family: str) -> None:
    images = pictures(2, size=4)
    graph = quantize(FAMILIES[family](LIVELY[family][1], size=4), images)
    given = backend.run(lower(graph), images, "all", runtime="multiprocess", timeout=300)
    assert_same(graph, images, given)
    assert all(spikes.any() for spikes in given.spikes.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs(seed: int) -> None:
    graph = remove_dead(random_graph(seed))
    images = random_images(graph, 3, seed)
    assert_same(graph, images, backend.run(lower(graph), images, "all"))
