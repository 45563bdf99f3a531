"""Damaged, hostile and foreign files: one named finding each, nothing else, and no heavy work."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from neurodeploy.errors import InvalidFileError
from neurodeploy.ir.artefact import from_bytes, integrity, load, serialise
from neurodeploy.ir.samples import random_graph
from tests.ir.graphs import small

FILE = serialise(small())
BODY = bytes(integrity.unseal(FILE))


def refusal(data: bytes) -> str:
    """The code of the one finding with which the bytes are refused."""
    with pytest.raises(InvalidFileError) as caught:
        from_bytes(data, "model.onnx")
    (finding,) = caught.value.findings
    assert finding.source == "model.onnx"
    assert finding.need and finding.have and finding.next
    return finding.code


def test_every_flipped_bit_is_found() -> None:
    for place in range(len(FILE)):
        for bit in range(8):
            flipped = bytearray(FILE)
            flipped[place] ^= 1 << bit
            assert refusal(bytes(flipped)) == "ND-A003", (place, bit)


def test_every_truncation_is_found() -> None:
    for end in range(0, len(FILE), 64):
        assert refusal(FILE[:end]) == "ND-A003"
    assert refusal(FILE[:-1]) == "ND-A003"


def test_bytes_behind_the_end_are_found() -> None:
    assert refusal(FILE + b"\0") == "ND-A003"
    assert refusal(FILE + FILE) == "ND-A003"


@pytest.mark.parametrize("seed", range(8))
def test_resealed_damage_is_refused_or_is_another_whole_file(seed: int) -> None:
    """Whatever bytes a sealed file has: an InvalidFileError, or a graph that is written with these very bytes."""
    rng = np.random.default_rng(seed)
    body = bytes(integrity.unseal(serialise(random_graph(seed))))
    for _ in range(150):
        damaged = bytearray(body)
        for place in rng.integers(0, len(body), int(rng.integers(1, 4))):
            damaged[place] = rng.integers(0, 256)
        if rng.random() < 0.2:
            del damaged[int(rng.integers(0, len(damaged))) :]
        data = integrity.seal(bytes(damaged))
        try:
            graph = from_bytes(data)
        except InvalidFileError as error:
            assert len(error.findings) == 1
        else:
            assert rewritten(graph, data) == data


def rewritten(graph: object, like: bytes) -> bytes:
    """The graph's file, with the writer's version as in `like`."""
    from neurodeploy.ir.artefact.write import to_bytes

    return to_bytes(graph, onnx.load_model_from_string(like).producer_version)  # type: ignore[arg-type]


def edited(edit: Callable[[onnx.ModelProto], object]) -> bytes:
    """The small file with a change, sealed again: what a hostile or foreign writer makes."""
    model = onnx.ModelProto()
    model.ParseFromString(BODY)
    edit(model)
    return integrity.seal(model.SerializeToString(deterministic=True))


def entry(model: onnx.ModelProto, key: str) -> onnx.StringStringEntryProto:
    return next(e for e in model.metadata_props if e.key == f"neurodeploy.{key}")


def set_entry(key: str, value: str) -> Callable[[onnx.ModelProto], object]:
    return lambda model: setattr(entry(model, key), "value", value)


def to_external(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")


def swap_body(model: onnx.ModelProto) -> None:
    (conv,) = [f for f in model.functions if f.name == "Conv"]
    conv.node[0].attribute[0].t.raw_data = b"\x7f"


HOSTILE: dict[str, tuple[str, Callable[[onnx.ModelProto], object]]] = {
    "later format": ("ND-A005", set_entry("format", "3")),
    "later format than its graph asks for": ("ND-A006", set_entry("format", "2")),
    "much later format": ("ND-A005", set_entry("format", "123456789")),
    "no format": ("ND-A006", lambda m: m.metadata_props.remove(entry(m, "format"))),
    "odd format": ("ND-A006", set_entry("format", "²")),
    "unknown profile": ("ND-A006", set_entry("profile", "truenorth")),
    "steps that are no number": ("ND-A006", set_entry("steps", "two")),
    "steps in other digits": ("ND-A006", set_entry("steps", " 2")),
    "steps without end": ("ND-A007", set_entry("steps", "999999999999")),
    "steps of 10000 digits": ("ND-A006", set_entry("steps", "9" * 10_000)),
    "scale nan": ("ND-A007", set_entry("output_scale", "nan")),
    "scale 0": ("ND-A007", set_entry("output_scale", "0.0")),
    "scale below 0": ("ND-A007", set_entry("output_scale", "-0.1")),
    "scale denormal": ("ND-A007", set_entry("output_scale", "1e-310")),
    "external data": ("ND-A006", to_external),
    "other function body": ("ND-A006", swap_body),
    "surplus function": ("ND-A006", lambda m: m.functions.add(name="Extra", domain="neurodeploy")),
    "standard op": ("ND-A006", lambda m: m.graph.node.add(op_type="Relu", input=["flat"], output=["r"])),
    "op of another domain": ("ND-A006", lambda m: setattr(m.graph.node[0], "domain", "other")),
    "no nodes": ("ND-A006", lambda m: m.graph.ClearField("node")),
    "no output": ("ND-A006", lambda m: m.graph.ClearField("output")),
    "no graph": ("ND-A006", lambda m: m.ClearField("graph")),
    "missing weight": ("ND-A006", lambda m: m.graph.initializer.pop(0)),
    "surplus weight": ("ND-A006", lambda m: m.graph.initializer.add(name="w", dims=[0], data_type=2)),
    "weight twice": ("ND-A006", lambda m: m.graph.initializer.append(m.graph.initializer[0])),
    "huge weight": ("ND-A006", lambda m: m.graph.initializer[0].dims.append(1 << 40)),
    "negative dimension": ("ND-A006", lambda m: m.graph.initializer[0].dims.extend([-1, -1])),
    "float weight": ("ND-A006", lambda m: setattr(m.graph.initializer[0], "data_type", 1)),
    "weight of int64": ("ND-A006", lambda m: setattr(m.graph.initializer[0], "data_type", 7)),
    "graph attribute": ("ND-A006", lambda m: setattr(m.graph.node[0].attribute[0], "type", 5)),
    "unknown value": ("ND-A006", lambda m: m.graph.node[3].input.__setitem__(0, "ghost")),
    "cycle": ("ND-A007", lambda m: m.graph.node[1].input.__setitem__(0, "head")),
    "two of one name": ("ND-A007", lambda m: m.graph.node.append(m.graph.node[0])),
    "huge exponent": ("ND-A007", lambda m: setattr(m.graph.node[2].attribute[2], "i", 1 << 60)),
    "huge threshold": ("ND-A007", lambda m: setattr(m.graph.node[2].attribute[0], "i", 1 << 60)),
    "sparse initializer": ("ND-A006", lambda m: m.graph.sparse_initializer.add(dims=[1 << 50])),
    "training info": ("ND-A006", lambda m: m.training_info.add()),
    "doc string": ("ND-A006", lambda m: setattr(m.graph, "doc_string", "x")),
    "later opset": ("ND-A006", lambda m: setattr(m.opset_import[0], "version", 99)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_is_refused(case: str) -> None:
    code, edit = HOSTILE[case]
    assert refusal(edited(edit)) == code


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_deep_nesting_is_refused() -> None:
    graph = b""
    for _ in range(300):
        graph = field(1, field(5, field(6, graph)))  # a node with an attribute that holds a graph
    assert refusal(integrity.seal(field(7, graph))) == "ND-A004"


def test_bytes_that_are_no_protobuf_are_refused() -> None:
    for body in (b"\x7b\x7b", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x3a\x05", b"\x80"):
        assert refusal(integrity.seal(body)) == "ND-A004"


def test_invalid_utf8_is_refused() -> None:
    bad = field(14, field(1, b"neurodeploy.format") + field(2, b"\xff\xfe"))
    assert refusal(integrity.seal(BODY + bad)) in ("ND-A004", "ND-A006")


def test_millions_of_empty_messages_are_refused_before_they_are_parsed() -> None:
    bomb = integrity.seal(field(7, b"\x0a\x00" * (3 << 20)))
    tracemalloc.start()
    assert refusal(bomb) == "ND-A004"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_empty_model_is_refused() -> None:
    assert refusal(integrity.seal(b"")) == "ND-A006"
    assert refusal(b"") == "ND-A003"


def test_foreign_model_is_refused(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:]))
    onnx.save(model, tmp_path / "relu.onnx")
    assert refusal((tmp_path / "relu.onnx").read_bytes()) == "ND-A003"
    assert refusal(integrity.seal(model.SerializeToString())) == "ND-A006"


def test_file_saved_again_by_another_tool_is_refused(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(FILE)
    model.graph.node[0].doc_string = "looked at"
    assert refusal(model.SerializeToString()) == "ND-A003"


def unreadable(path: Path) -> str:
    with pytest.raises(InvalidFileError) as caught:
        load(path)
    (finding,) = caught.value.findings
    assert finding.code == "ND-A002" and finding.source == str(path)
    return f"{finding.need}; {finding.have}"


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in unreadable(tmp_path / "none.onnx")
    assert "regular file" in unreadable(tmp_path)
    assert "null" in unreadable(Path("a\0b"))  # the words differ between Pythons
    os.mkfifo(tmp_path / "pipe")
    assert "regular file" in unreadable(tmp_path / "pipe")


def test_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(integrity.MAX_BYTES + 1)
    assert f"{integrity.MAX_BYTES + 1} bytes" in unreadable(path)
