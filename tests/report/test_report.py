"""Documents hold the right numbers, and the tables show them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from neurodeploy.errors import InvalidFileError
from neurodeploy.ir.graph import Graph, Node, tensor
from neurodeploy.ir.mapped import ConvWeights
from neurodeploy.ir.proof import prove
from neurodeploy.mapping import lower, symbolic
from neurodeploy.quantize import quantize
from neurodeploy.report import describe, text
from tests.traced_graphs import FAMILIES, pictures


@pytest.fixture(scope="module", params=FAMILIES)
def graph(request: pytest.FixtureRequest) -> Graph:
    return quantize(FAMILIES[request.param](), pictures(8))


@pytest.fixture(scope="module")
def document(graph: Graph) -> dict[str, Any]:
    return describe.graph_document(graph, prove(graph)) | {"mapped": describe.mapped_document(lower(graph))}


def shown(renderable: Any, width: int = 300) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_sizes_are_those_of_the_graph(graph: Graph, document: dict[str, Any]) -> None:
    assert document["weights"] == sum(node.tensors["weight"].size for node in graph.of("conv"))
    assert document["weight_bytes"] == document["weights"]  # at 8 bits
    first = graph.of("conv")[0]
    layer = next(layer for layer in document["layers"] if layer["name"] == first.name)
    kernels = first.tensors["weight"].size // 9
    assert layer["synapses"] == kernels * (3 * 8 - 2) ** 2  # 8x8 outputs of 3x3 taps, without those in the padding


@pytest.mark.parametrize(("extremes", "bits"), [((-8, 7), 4), ((-9, 7), 5), ((0, 8), 5), ((-128, -3), 8), ((0, 0), 1)])
def test_weights_whose_bits_nobody_chose_have_those_of_the_widest(
    extremes: tuple[int, int], bits: int, graph: Graph
) -> None:
    def limited(node: Node) -> Node:
        if node.op != "conv":
            return node
        weight = np.full_like(node.tensors["weight"], extremes[0])
        weight.flat[-1] = extremes[1]
        return replace(node, tensors={**node.tensors, "weight": tensor(weight, np.int8)})

    imported = replace(graph, nodes=tuple(map(limited, graph.nodes)), metadata={})
    sizes = [node.tensors["weight"].size for node in graph.of("conv")]
    assert describe.graph_document(imported, ())["weight_bytes"] == sum(-(-size * bits // 8) for size in sizes)


def test_mapped_synapses_are_those_of_the_crossbars(graph: Graph) -> None:
    mapped = lower(graph)
    found = describe.mapped_document(mapped)
    pairs = zip(symbolic.lower(graph).synapses, mapped.crossbars, strict=True)
    counts = (s.count if isinstance(c.weights, ConvWeights) else s.nonzero for s, c in pairs)
    assert found["synapses"] == sum(counts)  # as `map` counts them; matrices list no zeros
    assert found["neurons"] == sum(p.size for p in mapped.populations if p.kind != "source")


def test_bounds_say_how_much_is_used(graph: Graph, document: dict[str, Any]) -> None:
    for bound, entry in zip(prove(graph), document["bounds"], strict=True):
        assert entry["used"] == pytest.approx(bound.interval.magnitude / bound.limit.magnitude)


def test_document_is_json(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document, allow_nan=False)) == document


@pytest.mark.parametrize("key", ["quantization", "versions"])
@pytest.mark.parametrize("value", ["", "{", "null", "NaN", "1e999", '"x"', "[1, 2]", '{"a": 1}', "[{}]", "[" * 9999])
def test_nonsense_in_the_metadata_is_a_named_error(graph: Graph, key: str, value: str) -> None:
    if (key, value) == ("versions", '{"a": 1}'):
        assert describe.graph_document(replace(graph, metadata={key: value}), ())["versions"] == {"a": 1}
        return
    with pytest.raises(InvalidFileError, match=f"ND-R001 {key}"):
        describe.graph_document(replace(graph, metadata={key: value}), ())


@pytest.mark.parametrize("view", [text.layers_table, text.bounds_table, text.choices_table, text.network_table])
def test_tables_of_a_network_name_what_they_show(view: Any, graph: Graph, document: dict[str, Any]) -> None:
    page = shown(view(document))
    wanted = [document["name"]] if view is text.network_table else [c["layer"] for c in document["choices"][:3]]
    assert [name for name in wanted if name not in page] == []


def test_narrow_terminal_loses_no_character() -> None:
    name = "stage1.0.a_long_name_of_a_layer.q_lif"
    page = shown(text.table("title", ("layer", "value #"), [(name, 1234567)]), width=24)
    assert name in "".join(line.strip() for line in page.splitlines()) and "1,234,567" in page


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, "-"),
        ("", "-"),
        (1234567, "1,234,567"),
        (0.00123456, "0.001235"),
        (True, "yes"),
        ([1, 28], "1, 28"),
        ({"lemma": "or", "theta": 8.0}, "lemma or, theta 8"),
        (np.float64(0.5), "0.5"),
    ],
)
def test_cells(value: object, wanted: str) -> None:
    assert text.cell(value) == wanted


def test_evaluation_without_a_float_model_shows_no_drop() -> None:
    metrics = {"samples": 5, "integer_accuracy": 80.0, "backend": "onnx", "seconds": 1.0}
    nothing = dict.fromkeys(("float_accuracy", "drop", "drop_error", "agreement", "correlation"))
    page = shown(text.evaluation_table({**metrics, **nothing}))
    assert "80.00 %" in page
    assert "points" not in page


def test_comparison_that_differs_says_where() -> None:
    divergence = {"quantity": "spike", "layer": "a.lif"}
    document = {"equal": False, "divergence": divergence, "backends": ["reference", "onnx"], "samples": 3}
    page = shown(text.comparison_table({**document, "values": {"spikes": 12}, "seconds": {}}))
    assert "differ in the spike of a.lif" in page
