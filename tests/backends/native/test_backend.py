"""The native backend as a caller sees it: slices, threads, bad input, interruption, and what it says when it cannot."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends import dispatch, native, reference
from neurodeploy.backends.native import backend, lookup, plan
from neurodeploy.backends.native.engine import PATH_VARIABLE
from neurodeploy.errors import DoesNotFitError, EnvironmentMissingError, LimitExceededError, UsageError
from neurodeploy.ir.graph import Node, Stage, tensor
from neurodeploy.ir.ops import OPS
from neurodeploy.ir.samples import random_graph, random_images
from tests.backends.native.test_equality import differences
from tests.backends.native.test_shapes import large_graph
from tests.ir.graphs import small

ENGINE = "neurodeploy.backends.native._engine"


def test_batches_and_threads_do_not_change_the_integers() -> None:
    graph = large_graph(3)
    images = random_images(graph, 7, 3)
    whole = native.run(graph, images, "all", threads=1)
    for batch, threads in ((1, 1), (1, 3), (3, 2), (100, 4), (None, 0)):
        assert differences(whole, native.run(graph, images, "all", batch=batch, threads=threads)) == []


def test_progress_counts_the_samples() -> None:
    calls: list[tuple[int, int]] = []
    images = np.zeros((7, 1, 2, 2), np.float32)
    native.run(small(), images, batch=3, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(3, 7), (6, 7), (7, 7)]


def test_result_says_backend_and_scale() -> None:
    result = native.run(small(), np.zeros((1, 1, 2, 2), np.float32))
    assert (result.backend, result.scale) == ("native", 0.1)
    assert result.seconds > 0


def test_probes_are_the_layers_asked_for() -> None:
    result = native.run(small(), np.ones((2, 1, 2, 2), np.float32), ["block.*"])
    assert result.spikes["block.lif"].shape == result.membrane["block.lif"].shape == (2, 2, 2, 2, 2)
    assert native.run(small(), np.ones((2, 1, 2, 2), np.float32)).spikes == {}


@pytest.mark.parametrize(
    ("images", "code"),
    [
        (np.zeros((1, 2, 2)), "ND-B003"),
        (np.zeros((0, 1, 2, 2)), "ND-B004"),
        (np.full((1, 1, 2, 2), np.nan), "ND-B005"),
        (np.full((1, 1, 2, 2), np.inf), "ND-B005"),
        (np.full((1, 1, 2, 2), "x"), "ND-B002"),
        (None, "ND-B002"),
        (np.ones((1, 1, 2, 2), "m8[s]"), "ND-B002"),
        (np.ma.masked_array(np.ones((1, 1, 2, 2)), mask=True), "ND-B002"),
        (np.broadcast_to(np.float32(0), (2**45, 1, 2, 3)), "ND-B003"),
    ],
)
def test_bad_images_are_refused(images: object, code: str) -> None:
    with pytest.raises(UsageError, match=code):
        native.run(small(), images)


def test_images_larger_than_memory_are_refused() -> None:
    with pytest.raises(LimitExceededError, match=r"(?s)ND-B012.*562,949,953,421,312 bytes"):
        native.run(small(), np.broadcast_to(np.float32(0), (2**45, 1, 2, 2)))


@pytest.mark.parametrize(("option", "code"), [({"batch": 0}, "ND-B006"), ({"threads": -1}, "ND-B009")])
def test_bad_options_are_refused(option: dict[str, int], code: str) -> None:
    with pytest.raises(UsageError, match=code):
        native.run(small(), np.zeros((3, 1, 2, 2), np.float32), **option)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images.astype(np.float64),
        np.asfortranarray,
        lambda images: images[:, :, ::-1].copy()[:, :, ::-1],
        lambda images: np.repeat(images, 2, axis=0)[::2],
        lambda images: tensor(images, np.float32),  # read-only
        lambda images: images.tolist(),
    ],
)
def test_images_in_any_order_and_type(change: object) -> None:
    graph = random_graph(12)
    images = random_images(graph, 4, 12)
    expected = reference.run(graph, images)
    assert np.array_equal(native.run(graph, change(images)).logits, expected.logits)  # type: ignore[operator]


def test_images_stay_as_they_are() -> None:
    graph = random_graph(12)
    images = random_images(graph, 4, 12)
    before = images.copy()
    native.run(graph, images)
    assert np.array_equal(images, before)


def test_widths_that_int32_does_not_hold_are_refused() -> None:
    graph = small()
    wide = [replace(n, attributes={**n.attributes, "weight_exp": 20}) if n.op == "lif" else n for n in graph.nodes]
    with pytest.raises(DoesNotFitError, match=r"(?s)ND-B022 block.lif.*membranes"):
        native.run(replace(graph, nodes=tuple(wide)), np.zeros((1, 1, 2, 2), np.float32))


def test_values_that_int32_does_not_hold_are_refused() -> None:
    nodes = [Node("encode", "x", (), {"shape": (1,), "step": 1.0, "lo": 0, "hi": 255})]
    for index in range(24):
        name = nodes[-1].name
        nodes.append(Node("add", f"sum{index}", (name, name)))
    graph = replace(
        small(), nodes=(*nodes, Node("readout", "y", ("sum23",), {}, {"bias": tensor([0], np.int64)})), output="y"
    )
    with pytest.raises(DoesNotFitError, match=r"(?s)ND-B022 sum23.*int32"):
        native.run(graph, np.zeros((1, 1), np.float32))


def test_every_quantized_op_is_lowered() -> None:
    assert {op.name for op in OPS.values() if Stage.QUANTIZED in op.stages} == plan.OPS


def test_a_path_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATH_VARIABLE, "avx1024")
    with pytest.raises(UsageError, match=r"(?s)ND-B021.*portable"):
        native.run(small(), np.zeros((1, 1, 2, 2), np.float32))


def test_missing_extension_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, ENGINE, None)
    assert not native.available()
    with pytest.raises(EnvironmentMissingError, match=r"(?s)ND-B020.*C\+\+ compiler"):
        native.run(small(), np.zeros((1, 1, 2, 2), np.float32))
    with pytest.warns(RuntimeWarning, match="not built here; the backend onnx"):
        assert dispatch.chosen_backend("auto") == "onnx"


def test_an_extension_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.engine, "INTERFACE", native.engine.load().INTERFACE + 1)
    assert not native.available()
    with pytest.raises(EnvironmentMissingError, match=r"(?s)ND-B020.*another version"):
        native.run(small(), np.zeros((1, 1, 2, 2), np.float32))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of Python 3.12 and later
def test_a_child_of_a_fork_runs_whatever_its_parent_was_doing() -> None:
    graph = large_graph(5)
    images = random_images(graph, 400, 5)
    busy = threading.Thread(target=native.run, args=(graph, images), kwargs={"batch": 400, "threads": 1})
    native.run(graph, images[:1], threads=1)
    busy.start()
    child = os.fork()
    if child == 0:
        os._exit(0 if native.run(graph, images[:1], threads=1).logits.size else 1)
    busy.join()
    for _ in range(300):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        status = -1
    assert status == 0


@pytest.mark.parametrize("value", ["on", "2", "00", " 1"])
def test_tables_are_forced_by_0_or_1_alone(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lookup.FORCE, value)
    backend._plan.cache_clear()
    graph = large_graph(3)
    with pytest.raises(UsageError, match="ND-B025"):
        native.run(graph, random_images(graph, 1, 3))


def test_auto_is_native() -> None:
    assert dispatch.chosen_backend("auto") == "native"
    assert dispatch.chosen_backend("onnx") == "onnx"


def test_out_of_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(backend, "_plan", without_memory)
    with pytest.raises(LimitExceededError, match="ND-B024"):
        native.run(small(), np.zeros((1, 1, 2, 2), np.float32))


def test_an_arena_beyond_all_memory_is_a_python_error() -> None:
    program = native.engine.load().Program("portable")
    program.finish(arena=1 << 60)
    with pytest.raises(MemoryError):
        program.run(np.zeros((1, 4), np.float32), [np.zeros((1, 1), np.int64)], 0, 1, 1)


def test_interruption_ends_between_slices() -> None:
    graph = large_graph(3)
    images = np.repeat(random_images(graph, 1, 3), 40, axis=0)
    expected = native.run(graph, images)
    done: list[int] = []

    def interrupt(count: int, total: int) -> None:
        done.append(count)
        if len(done) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            native.run(graph, images, batch=4, progress=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == [4, 8]
    assert differences(expected, native.run(graph, images)) == []


def test_a_second_run_allocates_its_results_alone() -> None:
    graph = large_graph(5)
    images = random_images(graph, 4, 5)
    backend._plan.cache_clear()
    first = native.run(graph, images, threads=1)
    program = backend._plan(graph, (), native.engine.path()).program
    blocks = program.blocks
    second = native.run(graph, images, threads=1)
    assert backend._plan.cache_info().misses == 1
    assert program.blocks == blocks > 2  # weights, an arena, scratch
    assert differences(first, second) == []


def test_profile_names_the_layers() -> None:
    graph = large_graph(3)
    found = native.profile(graph, random_images(graph, 1, 3))
    names = {node.name for node in graph.nodes}
    calls = plan.plan(graph, (), native.engine.path()).calls
    assert tuple((layer, call) for layer, call, _ in found) == calls != ()
    assert {layer for layer, _, _ in found} <= names
    assert {call for _, call, _ in found} <= {"map", "encode", "lif", "matmul", "gemm"}
    assert all(0 <= seconds < 10 for _, _, seconds in found)


def test_runs_at_once_in_two_threads_do_not_mix() -> None:
    graph = large_graph(3)
    images = random_images(graph, 24, 3)
    expected = native.run(graph, images).logits
    found: list[np.ndarray] = []
    workers = [
        threading.Thread(target=lambda: found.append(native.run(graph, images, batch=1).logits)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 3 and all(np.array_equal(expected, logits) for logits in found)
