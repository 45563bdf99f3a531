"""The ONNX Runtime backend: the artefact's own bytes, slices, probes, and what it says when it cannot run."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.onnx import backend, run
from neurodeploy.errors import EnvironmentMissingError, UsageError
from neurodeploy.ir.artefact import save, serialise
from neurodeploy.ir.samples import random_graph, random_images
from neurodeploy.ir.verify import types
from tests.ir.graphs import encode, small

onnxruntime = pytest.importorskip("onnxruntime")
LEVELS = onnxruntime.GraphOptimizationLevel


@pytest.mark.parametrize("level", [LEVELS.ORT_DISABLE_ALL, LEVELS.ORT_ENABLE_BASIC, LEVELS.ORT_ENABLE_ALL])
def test_plain_session_on_the_file_computes_the_same(level: object, tmp_path: object) -> None:
    for seed in (0, 7, 20):
        graph = random_graph(seed)
        path = f"{tmp_path}/model.onnx"
        save(graph, path)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        images = random_images(graph, 5, seed)
        (logits,) = session.run(None, {"images": images})
        assert np.array_equal(logits, run(graph, images).logits)


def test_session_is_made_of_the_bytes_of_the_artefact(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc, name-defined]
        def __init__(self, data: bytes, *args: object, **kwargs: object) -> None:
            seen.append(data)
            super().__init__(data, *args, **kwargs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    graph = small()
    run(graph, np.zeros((1, 1, 2, 2), np.float32))
    assert seen == [serialise(graph)]


def test_slices_and_threads_do_not_change_the_integers() -> None:
    graph = random_graph(5)
    images = random_images(graph, 11, 5)
    whole = run(graph, images, "all")
    for batch, threads in ((1, 1), (3, 2), (4, 3), (100, 1)):
        parts = run(graph, images, "all", batch=batch, threads=threads)
        assert np.array_equal(whole.logits, parts.logits)
        for name in whole.spikes:
            assert np.array_equal(whole.spikes[name], parts.spikes[name])
            assert np.array_equal(whole.membrane[name], parts.membrane[name])


def test_slices_are_small_where_the_values_are_large() -> None:
    graph = small()
    assert backend.batch_size(graph) == backend.LARGEST_BATCH
    wide = replace(graph, steps=4, nodes=(replace(encode((64, 512, 512)), name="wide"), *graph.nodes))
    assert backend.batch_size(wide) == 1


def test_probes_count_for_the_size_of_a_slice() -> None:
    graph = small()
    names = tuple(node.name for node in graph.of("lif"))
    more = backend.sample_bytes(graph, names) - backend.sample_bytes(graph)
    assert more >= 5 * sum(graph.steps * types(graph)[name].size for name in names)


def test_fewer_threads_where_the_values_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int) -> None:
            seen.append(workers)
            super().__init__(workers)

    monkeypatch.setattr(backend, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64))
    images = np.zeros((1, 1, 2, 2), np.float32)
    run(small(), images)
    monkeypatch.setattr(backend, "TOTAL", 3 * backend.LARGEST_BATCH * backend.sample_bytes(small()))
    run(small(), images)
    run(small(), images, threads=5)
    assert seen == [64, 3, 5]


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_no_sample_is_refused(batch: int) -> None:
    with pytest.raises(UsageError, match="ND-B006"):
        run(small(), np.zeros((3, 1, 2, 2), np.float32), batch=batch)


def test_progress_counts_the_samples() -> None:
    calls: list[tuple[int, int]] = []
    images = np.zeros((7, 1, 2, 2), np.float32)
    run(small(), images, batch=3, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(3, 7), (6, 7), (7, 7)]


def test_probes_are_the_layers_asked_for() -> None:
    images = np.ones((2, 1, 2, 2), np.float32)
    result = run(small(), images, ["block.*"])
    assert result.spikes["block.lif"].shape == (2, 2, 2, 2, 2)
    assert result.membrane["block.lif"].shape == (2, 2, 2, 2, 2)
    assert run(small(), images).spikes == {}


def test_result_says_backend_and_scale() -> None:
    result = run(small(), np.zeros((1, 1, 2, 2), np.float32))
    assert (result.backend, result.scale) == ("onnx", 0.1)
    assert result.seconds > 0


def test_images_of_another_shape_and_with_nan_are_refused() -> None:
    with pytest.raises(UsageError, match="ND-B003"):
        run(small(), np.zeros((1, 2, 2), np.float32))
    with pytest.raises(UsageError, match="ND-B005"):
        run(small(), np.full((1, 1, 2, 2), np.nan, np.float32))


def test_probe_that_matches_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="ND-B001"):
        run(small(), np.zeros((1, 1, 2, 2), np.float32), "blocks.*")


def test_missing_onnxruntime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EnvironmentMissingError, match=r"(?s)ND-B010.*neurodeploy\[onnxruntime\]"):
        run(small(), np.zeros((1, 1, 2, 2), np.float32))
