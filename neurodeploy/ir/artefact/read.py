"""The graph of an artefact. A file is believed only if writing its graph again gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from neurodeploy.errors import Finding, InvalidFileError, NeurodeployError
from neurodeploy.ir.artefact import codec, integrity
from neurodeploy.ir.artefact.functions import DOMAIN, is_text, op_names
from neurodeploy.ir.artefact.integrity import Damaged
from neurodeploy.ir.artefact.write import FORMAT, IMAGES, OWN, SOURCE_FIELDS, require_writable, to_model
from neurodeploy.ir.graph import Attribute, Graph, Node, Source, Stage, Tensor
from neurodeploy.ir.ops import OPS, Op
from neurodeploy.numerics import PROFILES

_DAMAGED, _STRUCTURE, _NEWER, _FOREIGN, _ILLEGAL = (f"ND-A00{number}" for number in (3, 4, 5, 6, 7))
_HDF5 = b"\x89HDF\r\n\x1a\n"
_AGAIN = "get the file again, or compile the model again"


def from_bytes(data: bytes, source: str = "") -> Graph:
    """The graph of a file's bytes; `source` is how messages name it.

    Raises InvalidFileError with one finding: ND-A003 damaged or foreign bytes, ND-A004 no bounded, well-formed model,
    ND-A005 a newer format, ND-A006 not what neurodeploy writes, ND-A007 no legal graph, or one that could overflow.
    """
    if data.startswith(_HDF5):
        advice = "neurodeploy import, where it is a .net file of lava-dl"
        raise _invalid(_DAMAGED, "an artefact of neurodeploy", "an HDF5 file", source, advice)
    try:
        body = integrity.unseal(data)
    except Damaged as error:
        raise _invalid(_DAMAGED, error.need, error.have, source) from error
    model = _parse(body, source)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    _require_format(metadata, source)
    try:
        graph = _graph(model, metadata)
    except (Damaged, ValueError, LookupError) as error:
        raise _invalid(_FOREIGN, "what neurodeploy writes", str(error), source) from error
    try:
        require_writable(graph)
    except NeurodeployError as error:
        first = error.findings[0]
        layer = f"{first.layer}: " if first.layer else ""
        raise _invalid(_ILLEGAL, layer + first.need, first.have, source) from error
    producer = model.producer_version
    del model  # as large as the weights, like the next two
    again = to_model(graph, producer).SerializeToString(deterministic=True)
    if again != bytes(body):  # a view would be compared element by element
        raise _invalid(_FOREIGN, "what neurodeploy writes for this graph", "other bytes around it", source)
    return graph


def _invalid(code: str, need: str, have: str, source: str, advice: str = _AGAIN) -> InvalidFileError:
    return InvalidFileError(Finding(code, "", need, have, advice, source))


def _parse(body: memoryview, source: str) -> onnx.ModelProto:
    try:
        integrity.require_bounded(body)
        model = onnx.ModelProto()
        model.ParseFromString(bytes(body))
    except Damaged as error:
        raise _invalid(_STRUCTURE, error.need, error.have, source) from error
    except DecodeError as error:
        raise _invalid(_STRUCTURE, "a well-formed ONNX model", "one that does not parse", source) from error
    if not is_text(model):
        raise _invalid(_STRUCTURE, "names in UTF-8", "other bytes", source)
    return model


def _require_format(metadata: Mapping[str, str], source: str) -> None:
    """Refuse the format of a later neurodeploy, before anything of it is interpreted."""
    version = metadata.get(f"{OWN}format", "")
    if version.isdecimal() and version.isascii() and len(version) < 10 and int(version) > FORMAT:
        advice = "install a newer neurodeploy, or compile the model again"
        raise _invalid(_NEWER, f"format {FORMAT} or older", f"format {version}", source, advice)


def _require(condition: bool, need: str, have: object) -> None:
    if not condition:
        raise Damaged(need, str(have))


def _graph(model: onnx.ModelProto, metadata: Mapping[str, str]) -> Graph:
    profile = metadata[f"{OWN}profile"]
    _require(profile in PROFILES, f"a profile of {sorted(PROFILES)}", profile)
    initializers = {proto.name: proto for proto in model.graph.initializer}
    producers = {name: node.name for node in model.graph.node for name in node.output}
    return Graph(
        name=model.graph.name,
        stage=Stage.QUANTIZED,
        steps=int(metadata[f"{OWN}steps"]),
        nodes=tuple(_node(proto, initializers, producers) for proto in model.graph.node),
        output=producers[model.graph.output[0].name],
        profile=profile,
        output_scale=float(metadata[f"{OWN}output_scale"]),
        metadata={key: value for key, value in metadata.items() if not key.startswith(OWN)},
    )


def _node(proto: onnx.NodeProto, initializers: Mapping[str, onnx.TensorProto], producers: Mapping[str, str]) -> Node:
    _require(proto.domain == DOMAIN and proto.op_type in op_names(), "an op of neurodeploy", proto.op_type)
    op = OPS[op_names()[proto.op_type]]
    ports = len(op.inputs)
    inputs = [name for name in proto.input if name != IMAGES]
    tensors = zip((port.rstrip("?") for port in op.tensors), inputs[ports:], strict=False)
    return Node(
        op=op.name,
        name=proto.name,
        inputs=tuple(producers[name] for name in inputs[:ports]),
        attributes={a.name: _attribute(op, a) for a in proto.attribute if a.name in op.kinds},
        tensors={port: _tensor(op, port, initializers[name]) for port, name in tensors},
        source=_source({entry.key: entry.value for entry in proto.metadata_props}),
    )


def _attribute(op: Op, proto: onnx.AttributeProto) -> Attribute:
    value = codec.decode_attribute(proto)
    if isinstance(value, tuple):
        return codec.CODINGS.get((op.name, proto.name), codec.PLAIN).decode(value)
    return value


def _tensor(op: Op, port: str, proto: onnx.TensorProto) -> Tensor:
    external = proto.data_location == onnx.TensorProto.EXTERNAL or bool(proto.external_data)
    _require(not external, "tensors inside the file", f"{proto.name} in another file")
    return codec.decode_tensor(op.name, port, proto)


def _source(entries: Mapping[str, str]) -> Source:
    if not entries:
        return Source()
    path, file, line = (entries[field] for field in SOURCE_FIELDS)
    return Source(path, file, int(line))
