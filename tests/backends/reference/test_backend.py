"""Probes, slices and bad images of the reference backend."""

from __future__ import annotations

import tracemalloc
from importlib import import_module
from weakref import ref

import numpy as np
import pytest

from neurodeploy.backends.reference import backend, run
from neurodeploy.errors import LimitExceededError, UsageError
from neurodeploy.ir.graph import Graph, Node, Stage, tensor
from neurodeploy.ir.types import ValueType
from neurodeploy.ir.verify import types
from neurodeploy.quantize import quantize
from tests.traced_graphs import FAMILIES, pictures

GRAPH = quantize(FAMILIES["qkformer"](0), pictures(4))


def test_slices_change_nothing() -> None:
    images = pictures(7)
    whole, sliced = run(GRAPH, images, "all"), run(GRAPH, images, "all", batch=3)
    assert (whole.logits == sliced.logits).all()
    assert all((whole.membrane[name] == sliced.membrane[name]).all() for name in whole.membrane)


def test_delays_are_of_steps_and_end_with_the_sample() -> None:
    """y[t] = x[t - delay], in Python lists, over samples in one slice or in several."""
    rng, steps = np.random.default_rng(0), 5
    delay = np.array([[0, 3, 9], [4, 1, 5]])
    nodes = (
        Node("encode_events", "x", (), {"shape": (2, 3), "step": 1.0, "lo": -9, "hi": 9}),
        Node("delay", "late", ("x",), {}, {"delay": tensor(delay, np.int16)}),
        Node("reshape", "flat", ("late",), {"shape": (6,)}),
        Node("readout", "out", ("flat",), {}, {"bias": tensor(np.zeros(6), np.int64)}),
    )
    frames = rng.integers(-9, 10, (4, steps, 2, 3)).astype(np.float32)
    graph, seen = Graph("late", Stage.QUANTIZED, steps, nodes, "out"), list[np.ndarray]()
    for batch in (1, 3):
        seen.clear()
        run(graph, frames, batch=batch, watch=lambda name, value: seen.append(value) if name == "late" else None)
        slices = [np.stack(seen[i : i + steps], axis=1) for i in range(0, len(seen), steps)]
        found = np.concatenate(slices)
        for n, t, i, j in np.ndindex(*found.shape):
            sent = t - delay[i, j]
            assert found[n, t, i, j] == (frames[n, sent, i, j] if sent >= 0 else 0)


def test_slices_are_small_where_the_network_is_large() -> None:
    assert backend.batch_size(GRAPH) == backend.LARGEST_BATCH
    known = {name: ValueType((8, 2000, 1000), value.interval) for name, value in types(GRAPH).items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "types", lambda graph: known)
        assert backend.batch_size(GRAPH) == 1


@pytest.mark.parametrize("name", ["reference", "onnx"])
def test_probes_beyond_the_memory_of_the_machine_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = import_module(f"neurodeploy.backends.{name}").run
    pages = {"SC_PAGE_SIZE": 1024, "SC_PHYS_PAGES": 8}
    monkeypatch.setattr("neurodeploy.backends.result.os.sysconf", pages.get)
    with pytest.raises(LimitExceededError, match="ND-B007"):
        execute(GRAPH, pictures(9), "all")


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    def peak(count: int) -> int:
        images = pictures(count)
        tracemalloc.start()
        run(GRAPH, images)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    run(GRAPH, pictures(1))
    assert peak(640) < 2 * peak(64)


def test_no_value_outlives_its_last_reader() -> None:
    seen: list[ref[np.ndarray]] = []
    alive: list[int] = []

    def watch(name: str, value: np.ndarray) -> None:
        seen.append(ref(value))
        alive.append(sum(one() is not None for one in seen))

    run(GRAPH, pictures(1), watch=watch)
    assert max(alive) <= 10 < len(types(GRAPH)) - 20


def test_shapes_and_types_of_the_result() -> None:
    result = run(GRAPH, pictures(5), "all")
    assert result.logits.shape == (5, 3) and result.logits.dtype == np.int64
    spikes, membrane = result.spikes["ssa.q_lif"], result.membrane["ssa.q_lif"]
    assert spikes.shape == membrane.shape == (5, 4, 8, 16)
    assert spikes.dtype == np.uint8 and membrane.dtype == np.int32
    assert set(np.unique(spikes)) <= {0, 1} and (membrane[spikes == 1] == 0).all()


def test_patterns_select_probes() -> None:
    assert set(run(GRAPH, pictures(1), ["ssa.?_lif"]).spikes) == {"ssa.q_lif", "ssa.k_lif", "ssa.v_lif"}
    assert not run(GRAPH, pictures(1)).spikes


def test_every_idle_pattern_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        run(GRAPH, pictures(1), ["nothing", "ssa.*", "nowhere"])
    assert [finding.layer for finding in caught.value.findings] == ["nothing", "nowhere"]


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int]] = []
    run(GRAPH, pictures(5), batch=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_images_are_left_as_they_are_and_checked() -> None:
    images = pictures(2)
    images.setflags(write=False)
    run(GRAPH, images)
    pixel = np.ones((1, 1, 8, 8))
    for bad in (pictures(2)[0], pixel[:0], pixel * np.inf, pixel * 1e300, "text", [[1], [1, 2]]):
        with pytest.raises(UsageError):
            run(GRAPH, bad)


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_no_sample_is_refused(batch: int) -> None:
    with pytest.raises(UsageError, match="ND-B006"):
        run(GRAPH, pictures(3), batch=batch)
