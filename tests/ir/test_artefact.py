"""The file: a valid ONNX model, equal bytes for equal graphs, and the same graph when it is read back."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import neurodeploy
from neurodeploy.backends.reference import run
from neurodeploy.errors import DoesNotFitError, LimitExceededError, VerifyError
from neurodeploy.ir.artefact import from_bytes, integrity, load, save, serialise
from neurodeploy.ir.graph import Graph, Node, Source, Stage, tensor
from neurodeploy.ir.samples import random_graph, random_images
from neurodeploy.ir.text import to_text
from tests.delayed_graphs import channels
from tests.ir.graphs import conv, encode, lif, quantized, renamed, small


def assert_same(a: Graph, b: Graph) -> None:
    """Everything that a graph holds, compared exactly."""
    assert to_text(a) == to_text(b)
    assert (a.name, a.stage, a.steps, a.output, a.profile) == (b.name, b.stage, b.steps, b.output, b.profile)
    assert (a.output_scale, dict(a.metadata)) == (b.output_scale, dict(b.metadata))
    for x, y in zip(a.nodes, b.nodes, strict=True):
        assert (x.op, x.name, x.inputs, dict(x.attributes)) == (y.op, y.name, y.inputs, dict(y.attributes))
        assert x.source == y.source and set(x.tensors) == set(y.tensors)
        for port, values in x.tensors.items():
            assert values.dtype == y.tensors[port].dtype and np.array_equal(values, y.tensors[port])


@pytest.mark.parametrize("seed", range(60))
def test_file_gives_the_graph_back(seed: int, tmp_path: Path) -> None:
    graph = replace(random_graph(seed), metadata={"target": "loihi2", "torch": "2.13.0", "pixel_bits": "7"})
    save(graph, tmp_path / "model.onnx")
    back = load(tmp_path / "model.onnx")
    assert_same(graph, back)
    assert serialise(back) == (tmp_path / "model.onnx").read_bytes()


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_checker_accepts_the_file(seed: int) -> None:
    onnx.checker.check_model(onnx.load_model_from_string(serialise(random_graph(seed))), full_check=True)


def test_onnx_reference_evaluator_computes_the_same() -> None:
    for graph in (small(), random_graph(2), random_graph(4), channels(4, (0, 1, 3))):
        images = random_images(graph, 2, 0)
        (logits,) = ReferenceEvaluator(onnx.load_model_from_string(serialise(graph))).run(None, {"images": images})
        assert np.array_equal(logits, run(graph, images).logits)


def test_equal_graphs_give_equal_bytes() -> None:
    turned = replace(small(), metadata={"b": "2", "a": "1"})
    assert serialise(turned) == serialise(replace(small(), metadata={"a": "1", "b": "2"}))


def test_bytes_of_format_1_have_not_changed() -> None:
    """Change FORMAT when this changes: older files would no longer be believed."""
    model = onnx.load_model_from_string(serialise(small()))
    model.producer_version = ""
    del model.metadata_props[-1]  # the seal
    digest = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    assert digest == "964c20ac3b85909c9abdf703527d25cfe980ebfa504dcad43d49a154c525ce1a"


def test_a_file_has_the_oldest_format_that_knows_its_graph() -> None:
    plain = small()
    lasting = [replace(n, attributes={**n.attributes, "du": 9}) if n.op == "lif" else n for n in plain.nodes]
    for graph, version in ((plain, 1), (plain.with_nodes(lasting), 2), (channels(2, (1, 0), du=4096), 2)):
        model = onnx.load_model_from_string(serialise(graph))
        assert [entry.version for entry in model.opset_import if entry.domain == "neurodeploy"] == [version]
        assert_same(graph, from_bytes(serialise(graph)))


def test_netron_sees_the_layers() -> None:
    model = onnx.load_model_from_string(serialise(small()))
    calls = [(node.op_type, node.name, node.output[0]) for node in model.graph.node]
    assert calls == [
        ("Encode", "pixels", "pixels"),
        ("Conv", "block.conv", "block.conv"),
        ("Lif", "block.lif", "block.lif"),
        ("Reshape", "flat", "flat"),
        ("ConvDense", "head", "head"),
        ("Readout", "logits", "logits"),
    ]
    assert {entry.key: entry.value for entry in model.graph.node[1].metadata_props}["file"] == "model.py"


def test_metadata_says_what_the_file_is() -> None:
    model = onnx.load_model_from_string(serialise(replace(small(), metadata={"target": "loihi2"})))
    assert (model.producer_name, model.producer_version) == ("neurodeploy", neurodeploy.__version__)
    entries = {e.key: e.value for e in model.metadata_props}
    digest = entries.pop("neurodeploy.sha256")
    assert entries == {
        "neurodeploy.format": "1",
        "neurodeploy.output_scale": "0.1",
        "neurodeploy.profile": "loihi-lava",
        "neurodeploy.steps": "2",
        "target": "loihi2",
    }
    assert len(digest) == 64


def test_layers_may_be_named_like_the_ends_of_the_file() -> None:
    def renamed(node: Node) -> Node:
        names = {"pixels": "logits", "block.conv": "images", "logits": "out"}
        inputs = tuple(names.get(i, i) for i in node.inputs)
        return replace(node, name=names.get(node.name, node.name), inputs=inputs)

    graph = replace(small(), nodes=tuple(map(renamed, small().nodes)), output="out")
    onnx.checker.check_model(onnx.load_model_from_string(serialise(graph)), full_check=True)
    assert_same(graph, from_bytes(serialise(graph)))


def test_value_that_nothing_reads_stays() -> None:
    graph = small()
    dead = replace(graph, nodes=(*graph.nodes, lif("unused", "block.conv", [[[0]]])))
    assert_same(dead, from_bytes(serialise(dead)))


def with_head(**changes: object) -> Graph:
    return small().with_nodes(replace(n, **changes) if n.name == "head" else n for n in small().nodes)  # type: ignore[arg-type]


UNWRITABLE = {
    "traced": (Graph("net", Stage.TRACED, 2, (Node("input", "x", (), {"shape": (1,)}),), "x"), "a quantized graph"),
    "no readout": (quantized(encode()), "one readout"),
    "steps": (replace(small(), steps=0), "time steps"),
    "profile": (replace(small(), profile="other"), "a profile of"),
    "scale": (replace(small(), output_scale=float("nan")), "an output_scale above 0"),
    "scale 0": (replace(small(), output_scale=0.0), "an output_scale above 0"),
    "scale below 0": (replace(small(), output_scale=-0.1), "an output_scale above 0"),
    "scale infinite": (replace(small(), output_scale=float("inf")), "an output_scale above 0"),
    "reserved metadata": (replace(small(), metadata={"neurodeploy.format": "9"}), "metadata keys"),
    "dtype": (with_head(tensors={"weight": tensor(np.zeros((3, 8)), np.int64)}), "weight of ['int8']"),
    "two images": (replace(small(), nodes=(replace(encode((3,)), name="p"), *small().nodes)), "one image shape"),
    "no name": (renamed({"block.lif": ""}), "printable characters"),
    "NUL": (renamed({"block.lif": "a\0b"}), "printable characters"),
    "escape": (renamed({"block.lif": "\x1b[31m"}), "printable characters"),
    "long name": (renamed({"block.lif": "x" * 70_000}), "printable characters"),
    "illegal": (with_head(inputs=("ghost",)), "made by earlier"),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_unwritable_graph_is_refused(case: str, tmp_path: Path) -> None:
    graph, need = UNWRITABLE[case]
    with pytest.raises(VerifyError) as caught:
        save(graph, tmp_path / "model.onnx")
    assert any(need in finding.need for finding in caught.value.findings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["block.conv:weight", "block.lif:membrane", ":", "a,b", "images:value", "images::"])
def test_layers_of_any_printable_name_are_kept(name: str, tmp_path: Path) -> None:
    """Also where the name of a layer looks like that of another one's membrane or weights."""
    graph = small()
    graph = replace(graph, nodes=(*graph.nodes, lif(name, "block.conv", [[[0]]]), lif("images", name, [[[0]]])))
    save(graph, tmp_path / "model.onnx")
    onnx.checker.check_model(str(tmp_path / "model.onnx"))
    assert to_text(load(tmp_path / "model.onnx")) == to_text(graph)


def test_graph_that_could_overflow_is_refused(tmp_path: Path) -> None:
    wide = conv("wide", "pixels", [[[[127]]]])
    graph = small()
    unsafe = replace(graph, nodes=(*graph.nodes, wide, lif("loud", "wide", [[[0]]], weight_exp=9)))
    with pytest.raises(DoesNotFitError, match="ND-P001 loud"):
        save(unsafe, tmp_path / "model.onnx")


def test_file_above_the_limit_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "MAX_BYTES", 500)
    with pytest.raises(LimitExceededError, match="ND-A010"):
        serialise(small())


def test_sources_without_a_file_stay_empty() -> None:
    assert from_bytes(serialise(small())).by_name["pixels"].source == Source()
