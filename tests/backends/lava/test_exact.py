"""Lava against an independent executor: every spike, every membrane, every step; no tolerance."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from neurodeploy.backends.lava import backend
from neurodeploy.backends.result import RunResult
from tests.backends.lava.graphs import Expected, every_kind, execute, images_of, one_weight_kind

pytestmark = pytest.mark.lava


def assert_equal(result: RunResult, expected: Expected) -> None:
    np.testing.assert_array_equal(result.logits, expected.logits)
    assert set(result.spikes) == set(result.membrane) == set(expected.spikes)
    for name, spikes in expected.spikes.items():
        assert result.spikes[name].dtype == np.uint8
        assert result.membrane[name].dtype == np.int32
        np.testing.assert_array_equal(result.spikes[name], spikes, name)
        np.testing.assert_array_equal(result.membrane[name], expected.membrane[name], name)


@pytest.mark.parametrize("conv", ["unrolled", "shared"])
@pytest.mark.parametrize(("seed", "steps"), [(0, 3), (1, 4), (2, 1)])
def test_stock_models_in_one_process(seed: int, steps: int, conv: backend.Conv) -> None:
    graph = every_kind(seed, steps)
    images = images_of(graph, 4, seed)
    expected = execute(graph, images)
    rates = {name: spikes.mean() for name, spikes in expected.spikes.items()}
    assert sum(0 < rate < 1 for rate in rates.values()) >= 5, rates  # a silent network would prove nothing
    assert_equal(backend.run(graph, images, "all", conv=conv), expected)


def test_real_multi_process_runtime() -> None:
    graph = every_kind(3)
    images = images_of(graph, 3)
    seen: list[tuple[int, int]] = []
    result = backend.run(
        graph, images, "all", runtime="multiprocess", progress=lambda done, total: seen.append((done, total))
    )
    assert_equal(result, execute(graph, images))
    assert seen[-1] == (3 * 3 + 16, 3 * 3 + 16)
    assert result.seconds > 0


@pytest.mark.parametrize("weight", [-128, -3, -1, 0, 1, 127])
def test_weights_of_one_sign_are_exact(weight: int) -> None:
    graph = one_weight_kind(weight)
    images = images_of(graph, 2)
    assert_equal(backend.run(graph, images, "all"), execute(graph, images))


def test_probes_by_pattern_and_runs_at_the_same_time() -> None:
    graphs = [every_kind(4), every_kind(5)]
    results: dict[int, RunResult] = {}

    def run(which: int) -> None:
        graph = graphs[which]
        results[which] = backend.run(graph, images_of(graph, 3), ["block.*"], runtime="multiprocess", timeout=300)

    threads = [threading.Thread(target=run, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for which, graph in enumerate(graphs):
        expected = execute(graph, images_of(graph, 3))
        np.testing.assert_array_equal(results[which].logits, expected.logits)
        assert list(results[which].spikes) == ["block.one_lif"]
        np.testing.assert_array_equal(results[which].spikes["block.one_lif"], expected.spikes["block.one_lif"])
