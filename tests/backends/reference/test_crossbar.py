"""Crossbars with ADCs against a scalar model, cell by cell, and against the reference where no read can clip."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.backends.reference import crossbar as backend
from neurodeploy.backends.reference import run
from neurodeploy.backends.reference.crossbar import CrossbarResult
from neurodeploy.backends.reference.crossbar_cells import Crossbar
from neurodeploy.backends.reference.crossbar_design import designed
from neurodeploy.backends.reference.crossbar_reads import Layer, places, planned, product
from neurodeploy.errors import UsageError
from neurodeploy.ir import samples
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.types import Interval, ValueType
from neurodeploy.ir.verify import types
from neurodeploy.mapping.constraint import planes_of
from neurodeploy.quantize import quantize
from neurodeploy.targets import load_target
from tests.mapping.chips import chip
from tests.traced_graphs import FAMILIES, pictures

SPANS = [(0, 1), (0, 2), (0, 5), (0, 255), (-128, 127), (-1, 0), (-3, 9), (0, 0)]


class Scalar:
    """One output of a layer, in Python integers: what each cell adds to its column, and what each ADC makes of it."""

    def __init__(self, crossbar: Crossbar) -> None:
        self.crossbar = crossbar
        self.clipped = 0

    def adc(self, total: int, copies: int = 1) -> int:
        top = 2**self.crossbar.adc_bits - 1
        if total > top:
            self.clipped += copies
            return top
        return total

    def digit(self, stored: int, place: int) -> int:
        levels = 2**self.crossbar.cell_bits
        return stored // levels**place % levels

    def reads(self, x: list[int], low: int, high: int) -> Iterator[tuple[int, list[int]]]:
        """What each read is worth, and what it puts onto the rows."""
        if self.crossbar.inputs == "repeats":
            for unit in range(high):
                yield 1, [int(value > unit) for value in x]
            for unit in range(-low):
                yield -1, [int(-value > unit) for value in x]
            return
        bits = 0
        while high >= 2**bits or low < -(2**bits):
            bits += 1
        base = 2**self.crossbar.input_bits
        place = 1
        while place < 2**bits:
            yield place, [value % 2**bits // place % base for value in x]
            place *= base
        if low < 0:
            yield -(2**bits), [int(value < 0) for value in x]

    def output(self, x: list[int], w: list[int], span: tuple[int, int], beside: int) -> int:
        """Of x times w; beside: unit columns that count the same rows, their clips counted with the first output."""
        design, total = self.crossbar, 0
        for start in range(0, len(x), design.rows):
            rows = list(range(start, min(start + design.rows, len(x))))
            for worth, driven in self.reads(x, *span):
                for group in range(0, len(rows), design.active_rows):
                    read = rows[group : group + design.active_rows]
                    code = self.offset if design.coding == "offset" else self.differential
                    total += worth * code(rows, read, driven, w, beside)
        return total

    def offset(self, rows: list[int], read: list[int], driven: list[int], w: list[int], beside: int) -> int:
        ones = self.adc(sum(driven[r] for r in read), beside)
        top, total = 2**self.crossbar.cell_bits - 1, -128 * ones
        for place in range(self.crossbar.slices):
            cells = {r: self.digit(w[r] + 128, place) for r in rows}
            flipped = self.crossbar.flips and sum(cells.values()) > top * len(rows) / 2
            if flipped:
                cells = {r: top - cell for r, cell in cells.items()}
            code = self.adc(sum(driven[r] * cells[r] for r in read))
            total += (top * ones - code if flipped else code) * 2 ** (self.crossbar.cell_bits * place)
        return total

    def differential(self, rows: list[int], read: list[int], driven: list[int], w: list[int], beside: int) -> int:
        total = 0
        for sign, place in itertools.product((1, -1), range(self.crossbar.slices)):
            cells = {r: self.digit(max(sign * w[r], 0), place) for r in rows}
            code = self.adc(sum(driven[r] * cells[r] for r in read))
            total += sign * code * 2 ** (self.crossbar.cell_bits * place)
        return total


@st.composite
def crossbars(draw: st.DrawFn) -> Crossbar:
    rows, cell_bits = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    coding = draw(st.sampled_from(["offset", "differential"]))
    needed = -(-8 // cell_bits) * (2 if coding == "differential" else 1)
    return Crossbar(
        rows,
        draw(st.integers(needed, 3 * needed)),
        cell_bits,
        adc_bits=draw(st.integers(1, 9)),
        active_rows=draw(st.integers(1, rows)),
        coding=coding,  # type: ignore[arg-type]
        flips=coding == "offset" and draw(st.booleans()),
        inputs=draw(st.sampled_from(["bits", "repeats"])),  # type: ignore[arg-type]
        input_bits=draw(st.integers(1, 3)),
    )


def empty(positions: int = 1) -> Layer:
    return Layer("c", "conv", 0, 0, positions, 0, 0, 0, 0, 0)


@settings(max_examples=150)
@given(crossbars(), st.sampled_from(SPANS), st.integers(1, 20), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_products_are_those_of_single_cells(
    crossbar: Crossbar, span: tuple[int, int], rows: int, outputs: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, w = rng.integers(span[0], span[1] + 1, (3, rows)), rng.integers(-128, 128, (outputs, rows))
    layer, scalar = empty(), Scalar(crossbar)
    found = product(x, w, Interval(*span), crossbar, layer)
    beside = -(-outputs // crossbar.neurons)
    wanted = [
        [scalar.output(row.tolist(), w[o].tolist(), span, beside if o == 0 else 0) for o in range(outputs)] for row in x
    ]
    assert found.tolist() == wanted
    assert layer.clipped == scalar.clipped
    if crossbar.safe:
        assert scalar.clipped == 0 and np.array_equal(found, x @ w.T)


def safe_design(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    target = str(rng.choice(["crossbar-128-adc5", "crossbar-isaac"]))
    return {"target": target, "adc_bits": int(rng.integers(2, 10)), "inputs": str(rng.choice(["bits", "repeats"]))}


def assert_equal(found: CrossbarResult, graph: Graph, images: np.ndarray) -> None:
    wanted = run(graph, images, "all")
    assert np.array_equal(found.logits, wanted.logits)
    assert set(found.spikes) == set(wanted.spikes)
    for name in wanted.spikes:
        assert np.array_equal(found.spikes[name], wanted.spikes[name])
        assert np.array_equal(found.membrane[name], wanted.membrane[name])
    assert all(layer.clipped == layer.saturated == 0 for layer in found.layers)


@pytest.mark.parametrize("seed", range(40))
def test_safe_reads_are_the_reference(seed: int) -> None:
    graph = samples.random_graph(seed)
    images = samples.random_images(graph, 3, seed)
    design = safe_design(seed)
    if max(value.range.magnitude for value in types(graph).values()) >= 1000:
        design["inputs"] = "bits"  # one read a unit would take as many
    assert_equal(backend.run(graph, images, "all", **design), graph, images)


def terms(node: Node, x: np.ndarray) -> Iterator[tuple[tuple[int, ...], list[int], list[int]]]:
    """(place of the output, its inputs, their weights) of a conv or a sum over axes, one sample."""
    if node.op == "reduce_sum":
        axes, keep = node.integers("axes"), node.integer("keepdims")
        kept = [range(1) if axis in axes else range(n) for axis, n in enumerate(x.shape)]
        for at in itertools.product(*kept):
            places = [range(n) if axis in axes else [at[axis]] for axis, n in enumerate(x.shape)]
            values = [int(x[place]) for place in itertools.product(*places)]
            yield at if keep else tuple(n for axis, n in enumerate(at) if axis not in axes), values, [1] * len(values)
        return
    w, stride, padding = node.tensors["weight"], node.integers("stride"), node.integers("padding")
    share = len(w) // node.integer("groups")
    sizes = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(x.shape[1:], w.shape[2:], stride, padding, strict=True)]
    for at in itertools.product(range(len(w)), *map(range, sizes)):
        first, values = at[0] // share * w.shape[1], []
        for channel, *tap in itertools.product(*map(range, w.shape[1:])):
            place = [a * s + t - p for a, s, t, p in zip(at[1:], stride, tap, padding, strict=True)]
            inside = all(0 <= a < n for a, n in zip(place, x.shape[1:], strict=True))
            values.append(int(x[(first + channel, *place)]) if inside else 0)
        yield at, values, [int(v) for v in w[at[0]].ravel()]


@pytest.mark.parametrize("seed", range(30))
def test_clipped_layers_of_whole_networks_are_those_of_single_cells(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = samples.random_graph(seed)
    known, values = types(graph), dict[str, np.ndarray]()
    target = ("crossbar-128-adc5", "crossbar-isaac")[seed % 2]
    monkeypatch.setattr("neurodeploy.backends.reference.crossbar_reads.VALUES", 1 + 97 * (seed % 3))

    def watch(name: str, value: np.ndarray) -> None:
        values.setdefault(name, value[0].copy())  # of the first step

    result = backend.run(
        graph,
        samples.random_images(graph, 1, seed),
        watch=watch,
        target=target,
        adc_bits=2 + seed % 3,
        active_rows="all",
    )
    assert result.crossbar is not None
    layers = [node for node in graph.nodes if node.op in ("conv", "reduce_sum")]
    for node in layers:
        span, bounds = known[node.inputs[0]].range, known[node.name].range
        found, count = values[node.name], 0
        for at, x, w in itertools.islice(terms(node, values[node.inputs[0]]), 60):
            wanted = Scalar(result.crossbar).output(x, w, (span.lo, span.hi), 1)
            assert int(found[at]) == min(max(wanted, bounds.lo), bounds.hi)
            count += 1
        assert count == min(60, found.size)


def test_small_converters_do_clip() -> None:
    """What the tests above compare is not the unclipped network."""
    graph = quantize(FAMILIES["qkformer"](0), pictures(4))
    runs = [backend.run(graph, pictures(4), adc_bits=bits, active_rows="all") for bits in (2, 3, 9)]
    clipped = [sum(layer.clipped for layer in one.layers) for one in runs]
    assert clipped[0] > clipped[1] > clipped[2] == 0
    equal = [np.array_equal(one.logits, run(graph, pictures(4)).logits) for one in runs]
    assert (equal[0], equal[2]) == (False, True)


def test_safe_rows_are_those_of_the_target() -> None:
    for name, rows in (("crossbar-128-adc5", 10), ("crossbar-isaac", 128)):
        target = load_target(name)
        assert designed(target).active_rows == target.active_rows == rows
        assert designed(target).safe and designed(target, active_rows=rows).safe
    assert not designed(load_target("crossbar-128-adc5"), active_rows="all").safe


def test_safe_rows_are_the_most() -> None:
    """One row more, all cells at their top level: the read clips."""
    for bits, cell_bits in itertools.product(range(1, 9), range(1, 5)):
        crossbar = Crossbar(128, 64, cell_bits, bits, 1)
        safe, level = crossbar.safe_rows, 2**cell_bits - 1
        assert safe == 128 or safe * level <= 2**bits - 1 < (safe + 1) * level


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 4), st.integers(1, 4), st.booleans(), st.integers(1, 200), st.integers(1, 200)
)
def test_map_and_evaluate_have_one_limit(
    bits: int, cell_bits: int, input_bits: int, flips: bool, rows: int, driven: int
) -> None:
    """With all rows of one column at their worst, flipped where that is worth it, and the column of ones beside it."""
    columns = tuple(-(-n // cell_bits) for n in range(1, 9))
    asked = {"adc__bits": bits, "adc__input_bits": input_bits, "adc__flips_columns": flips, "crossbar__rows": rows}
    asked |= {"crossbar__cell_bits": cell_bits, "crossbar__weight_columns": columns}
    target = chip("crossbar-128-adc5", adc__rows_a_read=min(rows, driven), **asked)
    limit, level, drive, top = target.active_rows, (1 << cell_bits) - 1, (1 << input_bits) - 1, (1 << bits) - 1
    if not limit:
        with pytest.raises(UsageError, match="ND-B063"):
            designed(target)
        return
    assert designed(target).active_rows == limit
    held = level * rows // 2 if flips else level * limit
    assert drive * max(limit, min(level * limit, held)) <= top


def test_wide_inputs_and_the_column_of_ones_bound_the_rows() -> None:
    assert chip("crossbar-128-adc5", adc__input_bits=2).active_rows == 3
    columns = tuple(range(1, 17))
    ones = {"crossbar__cell_bits": 1, "crossbar__weight_columns": columns, "adc__bits": 7}
    assert chip("crossbar-isaac", **ones).active_rows == 127


@given(st.integers(-300, 300), st.integers(0, 300), st.integers(1, 8))
def test_map_and_evaluate_take_the_same_reads(low: int, more: int, input_bits: int) -> None:
    span = Interval(low, low + more)
    crossbar = Crossbar(8, 64, 1, 8, 1, input_bits=input_bits)
    assert planes_of(span, input_bits) == max(1, len(places(span, crossbar)))


def test_what_a_step_takes() -> None:
    crossbar = Crossbar(rows=128, columns=128, cell_bits=2, adc_bits=5, active_rows=10)
    weight = np.ones((64, 32, 3, 3), np.int8)
    own = {"stride": (1, 1), "padding": (1, 1), "groups": 1}
    node = Node("conv", "c", ("x",), own, {"weight": weight})
    x, y = ValueType((32, 14, 14), Interval(0, 4)), ValueType((64, 14, 14), Interval(-9, 9))
    layer = planned(node, x, y, crossbar)
    # 288 rows: two tiles of 128 (13 reads each), one of 32 (4 reads); 64 neurons of 4 columns: two tiles beside
    assert (layer.rows, layer.outputs, layer.positions, layer.planes) == (288, 64, 196, 3)
    assert (layer.tiles, layer.serial) == (6, 196 * 3 * 13)
    assert layer.reads == 196 * 3 * 30 * 2
    assert layer.conversions == 196 * 3 * 30 * (64 * 4 + 2)


def test_depthwise_groups_have_tiles_of_their_own() -> None:
    crossbar = Crossbar(rows=128, columns=128, cell_bits=2, adc_bits=5, active_rows=10, coding="differential")
    own = {"stride": (1, 1), "padding": (1, 1), "groups": 8}
    node = Node("conv", "c", ("x",), own, {"weight": np.ones((8, 1, 3, 3), np.int8)})
    kind = ValueType((8, 4, 4), Interval(0, 1))
    layer = planned(node, kind, kind, crossbar)
    assert (layer.tiles, layer.reads, layer.serial, layer.conversions) == (8, 16 * 8, 16, 16 * 8 * 8)


BAD = [
    ({"adc_bits": 0}, "adc_bits"),
    ({"adc_bits": 25}, "adc_bits"),
    ({"adc_bits": 1}, "active_rows"),  # a cell of level 3 is too much already
    ({"active_rows": 0}, "active_rows"),
    ({"active_rows": 129}, "active_rows"),
    ({"target": "loihi2"}, "target"),
    ({"target": "cpu"}, "target"),
]


@pytest.mark.parametrize(("options", "layer"), BAD)
def test_what_cannot_be_is_refused(options: dict[str, Any], layer: str) -> None:
    graph = samples.random_graph(1)
    with pytest.raises(UsageError) as caught:
        backend.run(graph, samples.random_images(graph, 1, 1), **options)
    assert [finding.layer for finding in caught.value.findings] == [layer]


def test_numbers_too_large_to_repeat_are_refused() -> None:
    refused = 0
    for seed in range(20):
        graph = samples.random_graph(seed)
        reads = [node.inputs[0] for node in graph.nodes if node.op in ("conv", "reduce_sum")]
        spans = [types(graph)[name].range for name in reads]
        large = sum(span.hi - span.lo > backend.MOST_REPEATS for span in spans)
        if large:
            with pytest.raises(UsageError, match="ND-B066") as caught:
                backend.run(graph, samples.random_images(graph, 1, seed), inputs="repeats")
            assert len(caught.value.findings) == large
            refused += 1
    assert refused > 0


def test_everything_that_is_wrong_with_a_crossbar_is_said_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Crossbar(0, 3, 2, 30, 5, "differential", flips=True)
    assert {finding.layer for finding in caught.value.findings} == {
        "rows",
        "columns",
        "adc_bits",
        "active_rows",
        "flips",
    }
