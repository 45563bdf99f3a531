"""A quantized graph as an ONNX model, deterministic: equal graphs give equal bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx

from neurodeploy.errors import Finding, LimitExceededError, VerifyError
from neurodeploy.ir.artefact import codec, integrity
from neurodeploy.ir.artefact.functions import DOMAIN, OPSET, Body, body_for, function
from neurodeploy.ir.graph import ENCODERS, Attribute, Graph, Node, Source, Stage
from neurodeploy.ir.ops import OPS
from neurodeploy.ir.proof import require_proof
from neurodeploy.ir.types import ValueType
from neurodeploy.ir.verify import types
from neurodeploy.numerics import PROFILES

FORMAT = 2  # what this version reads; a file has the oldest format that knows all of its graph
IR_VERSION = 10  # what ONNX Runtime 1.18 and later read; metadata of nodes needs it
MAX_STEPS = 4096  # the proof walks through the steps, also those of a hostile file
MAX_NAME = 512  # characters of a layer; names go into paths, arguments and zip members
MAX_SHOWN = 40  # characters that a message shows of a name that is none
IMAGES, LOGITS = "images", "logits"
OWN = "neurodeploy."  # prefix of the metadata entries that are not the graph's own
SOURCE_FIELDS = ("path", "file", "line")


def to_bytes(graph: Graph, version: str) -> bytes:
    """The sealed file of a graph, written by `version` of neurodeploy.

    Raises VerifyError for a graph that is no legal quantized graph or that the file cannot hold, DoesNotFitError for
    one whose interval proof fails (its integers could wrap), LimitExceededError above the size limit.
    """
    require_writable(graph)
    _require_small(sum(values.nbytes for node in graph.nodes for values in node.tensors.values()))
    body = to_model(graph, version).SerializeToString(deterministic=True)
    _require_small(len(body))
    try:
        integrity.require_bounded(memoryview(body))
    except integrity.Damaged as error:
        raise _too_large(error.need, error.have) from error
    return integrity.seal(body)


def _require_small(size: int) -> None:
    """Raise LimitExceededError above the size limit; asked of the tensors alone before the model is built."""
    if size > integrity.MAX_BYTES:
        raise _too_large(f"at most {integrity.MAX_BYTES} bytes", f"{size} bytes")


def _too_large(need: str, have: str) -> LimitExceededError:
    return LimitExceededError(Finding("ND-A010", "", need, have, "a smaller network"))


def require_writable(graph: Graph) -> None:
    """Raise VerifyError with everything that keeps the graph out of a file, DoesNotFitError where it is unsafe."""
    problems = list(_graph_problems(graph))
    if not problems:
        types(graph)
        problems = list(_node_problems(graph))
    if problems:
        raise VerifyError(problems)
    require_proof(graph)


def _problem(layer: str, need: str, have: object, source: object = "") -> Finding:
    return Finding("ND-A001", layer, need, str(have), "compile the model again, or report this bug", str(source))


def _graph_problems(graph: Graph) -> Iterator[Finding]:
    if graph.stage is not Stage.QUANTIZED:
        yield _problem("", "a quantized graph", graph.stage.value)
    if graph.profile not in PROFILES:
        yield _problem("", f"a profile of {sorted(PROFILES)}", graph.profile)
    if not 1 <= graph.steps <= MAX_STEPS:
        yield _problem("", f"1..{MAX_STEPS} time steps", graph.steps)
    if not np.finfo(np.float64).tiny <= graph.output_scale < np.inf:  # NaN compares with nothing
        yield _problem("", "an output_scale above 0 that float64 holds to the last digit", graph.output_scale)
    if graph.of("readout") != tuple(n for n in graph.nodes if n.name == graph.output):
        yield _problem(graph.output, "one readout, the output", [n.name for n in graph.of("readout")])
    if len({(n.op, n.attributes.get("shape")) for n in graph.encoders}) != 1:
        yield _problem("", "encode nodes of one kind and one image shape", [n.name for n in graph.encoders])
    for key in graph.metadata:
        if key.startswith(OWN) or not key:
            yield _problem("", f"metadata keys that do not start with {OWN}", repr(key))


def _node_problems(graph: Graph) -> Iterator[Finding]:
    for node in graph.nodes:
        if not (node.name.isprintable() and 0 < len(node.name) <= MAX_NAME):
            need, shown = f"a name of 1 to {MAX_NAME} printable characters", node.name[:MAX_SHOWN]
            yield Finding("ND-A001", shown, need, repr(shown), "give this module another name", str(node.source))
        for port, values in node.tensors.items():
            allowed = codec.TENSOR_DTYPES.get((node.op, port), ())
            if values.dtype not in allowed:
                names = [np.dtype(dtype).name for dtype in allowed]
                yield _problem(node.name, f"{port} of {names}", values.dtype, node.source)


def to_model(graph: Graph, version: str) -> onnx.ModelProto:
    """The model, without its seal, of a graph that is fit to be written."""
    known = types(graph)
    bodies = {node.name: _body(node, known) for node in graph.nodes}
    used = {function(body).name: function(body) for body in bodies.values()}
    model = onnx.ModelProto(
        ir_version=IR_VERSION,
        producer_name=DOMAIN,
        producer_version=version,
        opset_import=[
            onnx.OperatorSetIdProto(domain="", version=OPSET),
            onnx.OperatorSetIdProto(domain=DOMAIN, version=format_of(graph)),
        ],
        graph=_graph_proto(graph, known, bodies),
        functions=[used[name] for name in sorted(used)],
        metadata_props=_entries(_metadata(graph)),
    )
    for node in graph.nodes:
        for port in tensor_ports(node):
            proto = model.graph.initializer.add(name=_value_name(node.name, port))
            codec.encode_tensor(node.op, port, node.tensors[port], proto)
    return model


def format_of(graph: Graph) -> int:
    """1, or 2 with delays, synaptic currents that last or thresholds a channel, which a reader of 1 does not know."""
    later = {"delay", "du", "thresholds"}
    return 2 if any(later & {node.op, *node.attributes, *node.tensors} for node in graph.nodes) else 1


def _body(node: Node, known: Mapping[str, ValueType]) -> Body:
    return body_for(node, tuple(known[name] for name in node.inputs))


def _metadata(graph: Graph) -> dict[str, str]:
    own = {
        "format": str(format_of(graph)),
        "output_scale": repr(float(graph.output_scale)),
        "profile": graph.profile,
        "steps": str(graph.steps),
    }
    return {**{OWN + key: value for key, value in own.items()}, **dict(sorted(graph.metadata.items()))}


def _entries(values: Mapping[str, str]) -> list[onnx.StringStringEntryProto]:
    return [onnx.StringStringEntryProto(key=key, value=value) for key, value in values.items()]


def value_names(graph: Graph) -> dict[str, str]:
    """Layer name -> value name in the file: the same, but for colons, and what is or bears the name of a file's end."""
    names = {node.name: _value_name(node.name) for node in graph.nodes}
    names |= {name: f"{name}:value" for name in (IMAGES, LOGITS) if name in names}
    return {**names, graph.output: LOGITS}


def _value_name(layer: str, part: str = "") -> str:
    """A value of a layer, or one of its parts; colons of a layer are doubled, so that no two are the same."""
    return layer.replace(":", "::") + (f":{part}" if part else "")


def _graph_proto(graph: Graph, known: Mapping[str, ValueType], bodies: Mapping[str, Body]) -> onnx.GraphProto:
    """Everything but the tensors, which are put into the model where they stay."""
    names = value_names(graph)
    inner = [n for n in graph.nodes if n.name != graph.output]
    kinds = onnx.TensorProto
    return onnx.GraphProto(
        name=graph.name,
        node=[_call(node, graph, known, names, bodies[node.name]) for node in graph.nodes],
        input=[_value(IMAGES, kinds.FLOAT, "N", graph.image_shape)],
        output=[_value(LOGITS, kinds.INT64, "N", known[graph.output].shape)],
        value_info=[_value(names[n.name], codec.element_type(known[n.name]), "TN", known[n.name].shape) for n in inner],
    )


def membrane_name(layer: str) -> str:
    """The value that holds the membranes of a LIF after reset, int32 [T * N, *shape]; nothing in the file reads it."""
    return _value_name(layer, "membrane")


def tensor_ports(node: Node) -> tuple[str, ...]:
    """The tensors that a node has, in the order of the op table."""
    return tuple(port for port in (p.rstrip("?") for p in OPS[node.op].tensors) if port in node.tensors)


def _value(name: str, element: int, batch: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    proto = onnx.ValueInfoProto(name=name)
    proto.type.tensor_type.elem_type = element
    dims = proto.type.tensor_type.shape.dim
    dims.add(dim_param=batch)
    for size in shape:
        dims.add(dim_value=size)
    return proto


def _call(
    node: Node, graph: Graph, known: Mapping[str, ValueType], names: Mapping[str, str], body: Body
) -> onnx.NodeProto:
    site = codec.Site(tuple(known[name] for name in node.inputs), known[node.name], graph.steps)
    declared = function(body)
    images = [IMAGES] if node.op in ENCODERS else []
    return onnx.NodeProto(
        name=node.name,
        domain=DOMAIN,
        op_type=declared.name,
        input=[*images, *(names[i] for i in node.inputs), *(_value_name(node.name, p) for p in tensor_ports(node))],
        output=[names[node.name], *(membrane_name(node.name) for _ in OPS[node.op].state)],
        attribute=[codec.encode_attribute(key, _attribute(node, key, site)) for key in declared.attribute],
        metadata_props=_source_entries(node.source),
    )


def _attribute(node: Node, key: str, site: codec.Site) -> Attribute:
    """The value of an attribute of a function: of the op table, in the form of the file, or derived."""
    kind = OPS[node.op].kinds.get(key)
    if kind is None:
        return codec.DERIVED[key](site)
    if kind == "ints":
        return codec.CODINGS.get((node.op, key), codec.PLAIN).encode(node.integers(key))
    return node.number(key) if kind == "float" else node.integer(key)


def _source_entries(source: Source) -> list[onnx.StringStringEntryProto]:
    if source == Source():
        return []
    return _entries({field: str(getattr(source, field)) for field in SOURCE_FIELDS})
