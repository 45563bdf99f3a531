"""What the planner fuses, lowers and refuses, where the random graphs seldom come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends import native, reference
from neurodeploy.backends.native import conv, engine, lookup, lower, plan
from neurodeploy.backends.native.recorder import Recorder
from neurodeploy.errors import DoesNotFitError
from neurodeploy.ir.graph import Graph, Node, tensor
from neurodeploy.ir.samples import random_images
from neurodeploy.ir.types import Interval
from tests.backends.native import conftest
from tests.backends.native.test_equality import assert_equal
from tests.backends.native.test_shapes import large_graph
from tests.ir.graphs import conv as convolution
from tests.ir.graphs import encode, lif, quantized, small

READOUT = Node("readout", "logits", ("head",), {}, {"bias": tensor([0, 0], np.int64)})


def gated(op: str, by_sums: tuple[str, ...], groups: int) -> Graph:
    """Two populations, of which those named meet in a gate as the sums of a convolution that copies them."""
    copies = []
    for name in by_sums:
        made = convolution(f"{name}.sums", name, np.eye(8)[:, : 8 // groups] if groups == 1 else np.ones((8, 1)))
        copies.append(replace(made, attributes={**made.attributes, "groups": groups}))
    pair = tuple(f"{name}.sums" if name in by_sums else name for name in ("mask", "spikes"))
    return quantized(
        encode((8,), lo=0, hi=15),
        lif("mask", "pixels", [-200] * 8, vth=5),
        lif("spikes", "pixels", [0] * 8, vth=3),
        *copies,
        Node(op, "gated", pair),
        convolution("head", "gated", np.arange(16).reshape(2, 8)),
        READOUT,
    )


@pytest.mark.parametrize("op", ["gate", "inhibit"])
@pytest.mark.parametrize("by_sums", [("mask",), ("spikes",), ("mask", "spikes")], ids="+".join)
@pytest.mark.parametrize("groups", [1, 8])
def test_masks_and_spikes_in_int32(
    op: str, by_sums: tuple[str, ...], groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = gated(op, by_sums, groups)
    assert reference.run(graph, random_images(graph, 2, 0)).logits.any(), "all is masked"
    assert_equal(graph, 0, monkeypatch)


@pytest.mark.parametrize("bias", [24, 1])
@pytest.mark.parametrize("steps", [1, 2])
def test_positions_and_channels_in_one_axis(bias: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = quantized(
        encode((3, 4)),
        convolution("conv", "pixels", np.arange(-9, 9).reshape(6, 3, 1)),
        Node("permute", "turned", ("conv",), {"axes": (1, 0)}),
        Node("reshape", "flat", ("turned",), {"shape": (24,)}),
        lif("lif", "flat", np.arange(bias) * 40 - 300),
        convolution("head", "lif", np.arange(-24, 24).reshape(2, 24)),
        READOUT,
        steps=steps,
    )
    assert_equal(graph, 0, monkeypatch)


def changed(name: str, weight: object = None, **own: int) -> Graph:
    """The small graph in the profile int32, with other attributes or another weight in a layer."""
    graph = replace(small(), profile="int32")
    nodes = []
    for node in graph.nodes:
        if node.name == name:
            tensors = {**node.tensors, **({"weight": weight} if weight is not None else {})}
            node = replace(node, attributes={**node.attributes, **own}, tensors=tensors)  # noqa: PLW2901
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize(
    ("graph", "need"),
    [
        (changed("head", weight=tensor(np.full((3, 8), 128), np.int16)), "head.*weights in int8"),
        (changed("block.lif", vth=1 << 26), "block.lif.*a threshold in int32"),
        (changed("block.lif", weight_exp=26), "block.lif.*shifted by less than 32"),
    ],
)
def test_what_the_kernels_do_not_hold_is_refused(graph: Graph, need: str) -> None:
    with pytest.raises(DoesNotFitError, match=f"(?s)ND-B022 {need}"):
        plan.check_widths(graph)


def test_what_the_kernels_just_hold_is_not() -> None:
    for graph in (
        changed("head", weight=tensor(np.full((3, 8), -128), np.int16)),
        changed("block.lif", vth=(1 << 25) - 1),
        changed("block.lif", weight_exp=12),
    ):
        plan.check_widths(graph)


def test_a_pooling_without_a_neuron_is_an_error() -> None:
    recorder = Recorder("portable")
    x = recorder.new((2, 4, 5, 5), [2, 3, 0, 1], native.plan.Type.U8)
    node = convolution("conv", "x", np.ones((6, 4, 1, 1)))
    made = conv.pending(recorder, node, x, Interval(0, 1), (6, 5, 5), 2)
    window = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}
    pooled = conv.pooled(made, Node("max_pool", "pool", ("conv",), window), (6, 2, 2))
    with pytest.raises(ValueError, match="conv"):
        conv.write_sums(recorder, pooled)


def test_sizes_of_the_tile_are_those_of_the_extension() -> None:
    built = engine.load()
    assert (lower.TILE_OUTPUTS, lower.TILE_GROUP) == (built.OUTPUTS, built.GROUP)


def test_the_program_sizes_its_own_scratch() -> None:
    """Sums of two halves of a strip at the least, or the packed operands of an attention product."""
    program = engine.load().Program("portable")
    assert program.scratch == 0
    n, k = 500, 300
    places = dict.fromkeys("aby", (0, 0, 0))
    program.matmul(**places, loop=([], [], [], []), n=n, k=k, m=9, strides=[1] * 6, small=True, large=True)
    assert program.scratch >= 4 * 48 * 32 + k * (32 + n) + 4 * n
    assert plan.plan(large_graph(3), (), "portable").program.scratch >= 2 * 4 * 48 * 32


@pytest.mark.parametrize(("compiler", "skipped"), [("/usr/bin/c++", 0), (None, 1)])
def test_a_broken_build_is_not_skipped(
    compiler: str | None, skipped: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    class Item:
        path = request.node.path

        def __init__(self) -> None:
            self.markers: list[object] = []

        def add_marker(self, marker: object) -> None:
            self.markers.append(marker)

    monkeypatch.setattr(native, "available", lambda: False)
    monkeypatch.setattr(conftest.shutil, "which", lambda name: compiler)
    item = Item()
    conftest.pytest_collection_modifyitems([item])  # type: ignore[list-item]
    assert len(item.markers) == skipped


@pytest.mark.parametrize("tap", [8, 12, 16])
def test_no_segment_of_a_table_sum_leaves_int16(tap: int) -> None:
    rng = np.random.default_rng(tap)
    first = (np.arange(30)[:, None] * tap + np.arange(0, tap, 6)).reshape(-1)
    for low, high in ((-128, 128), (127, 128), (-128, -127), (0, 1)):
        matrix = rng.integers(low, high, (5, 30 * tap)).astype(np.int8)
        starts, ends = [0, *(found := lookup.segments(matrix, first, 6, tap))[:-1]], found
        for start, end in zip(starts, ends, strict=True):
            last = 30 * tap if end == len(first) else first[end]
            part = matrix[:, first[start] : last].astype(np.int64)
            assert np.maximum(part, 0).sum(axis=1).max() <= 32767
            assert np.minimum(part, 0).sum(axis=1).min() >= -32768
        assert ends[-1] == len(first)
        signs = [np.maximum(sign * matrix.astype(np.int64), 0).sum(axis=1).max() for sign in (1, -1)]
        assert (len(ends) > 1) == (max(signs) > 32767)


def dense_graph(channels: int, steps: int, pool: bool) -> Graph:
    """All pixels fire in all steps, and every weight is as large as it can be: sums far beyond int16."""
    weight = np.full((40, channels, 3, 3), 127)
    weight[::2] = -128
    window = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    pooled = [Node("max_pool", "pool", ("wide",), window)] if pool else []
    size = 64 if pool else 225
    return replace(
        quantized(
            encode((channels, 15, 15), lo=0, hi=1),
            lif("spikes", "pixels", np.full((channels, 1, 1), 200), vth=2),
            convolution("wide", "spikes", weight, padding=1),
            *pooled,
            lif("fires", "pool" if pool else "wide", np.zeros((40, 1, 1)), vth=16_000),
            Node("reshape", "flat", ("fires",), {"shape": (40 * size,)}),
            convolution("head", "flat", np.ones((2, 40 * size))),
            READOUT,
            steps=steps,
        ),
        profile="int32",
    )


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(("channels", "steps"), [(28, 1), (70, 4), (9, 10)])
def test_tables_whose_sums_leave_int16(channels: int, steps: int, pool: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = dense_graph(channels, steps, pool)
    assert reference.run(graph, random_images(graph, 1, 0)).logits.any(), "nothing fires"
    for seed in range(4):
        assert_equal(graph, seed, monkeypatch)


def test_tables_are_where_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lookup.FORCE, raising=False)
    gain = engine.load().Program(native.paths()[0]).lookup_gain
    assert gain >= 0
    assert engine.load().Program("portable").lookup_gain == 0
