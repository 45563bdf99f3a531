"""The verifier: runs before the first and after every pass, and lists everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from neurodeploy.errors import Finding, VerifyError
from neurodeploy.ir.graph import Attribute, Graph, Node
from neurodeploy.ir.infer import IllegalNode
from neurodeploy.ir.ops import OPS, Op
from neurodeploy.ir.types import ValueType

_NEXT = "this graph is damaged, or a pass has a bug: report it with the model"
_ATTRIBUTE_TYPES: Mapping[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "ints": tuple}


def verify(graph: Graph) -> Graph:
    """Return the graph if it is legal in its stage.

    Raises VerifyError with one finding for each illegal node, and for a missing output.
    """
    types(graph)
    return graph


def types(graph: Graph) -> Mapping[str, ValueType]:
    """The type of every value, by name; verifies on the way. Raises VerifyError."""
    return _types(graph)


@lru_cache(maxsize=16)
def _types(graph: Graph) -> Mapping[str, ValueType]:
    found: dict[str, ValueType] = {}
    findings: list[Finding] = []
    for node in graph.nodes:
        problems = list(_declaration_problems(graph, node, found))
        if not problems:
            try:
                found[node.name] = OPS[node.op].types(node, tuple(found[i] for i in node.inputs), graph.steps)
            except IllegalNode as error:
                problems = [(error.need, error.have)]
        findings += [Finding("ND-G001", node.name, f"{node.op}: {n}", h, _NEXT, str(node.source)) for n, h in problems]
    if not findings and graph.output not in found:
        findings.append(Finding("ND-G002", graph.output, "an output value", "no node makes it", _NEXT))
    if findings:
        raise VerifyError(findings)
    return found


def _declaration_problems(graph: Graph, node: Node, found: Mapping[str, ValueType]) -> Iterator[tuple[str, str]]:
    """(need, have) of whatever the op table forbids, before shapes are looked at."""
    op = OPS.get(node.op)
    if op is None:
        yield "an op of the table", node.op
        return
    if graph.stage not in op.stages:
        yield f"an op of stage {graph.stage.value}", node.op
    if node.name in found:
        yield "a name of its own", f"{node.name} twice"
    yield from _port_problems(op, node, found)
    yield from _attribute_problems(op, node.attributes)
    yield from _tensor_problems(op, node)


def _port_problems(op: Op, node: Node, found: Mapping[str, ValueType]) -> Iterator[tuple[str, str]]:
    if len(node.inputs) != len(op.inputs):
        yield f"inputs {op.inputs}", f"{node.inputs}"
    for name in node.inputs:
        if name not in found:
            yield "inputs made by earlier, legal nodes", f"{name}"


def _attribute_problems(op: Op, attributes: Mapping[str, Attribute]) -> Iterator[tuple[str, str]]:
    if not op.required_attributes <= set(attributes) <= set(op.kinds):
        yield f"attributes {sorted(op.attributes)}", f"{sorted(attributes)}"
        return
    for name, value in attributes.items():
        if not isinstance(value, _ATTRIBUTE_TYPES[op.kinds[name]]):
            yield f"{name} of type {op.kinds[name]}", f"{value!r}"


def _tensor_problems(op: Op, node: Node) -> Iterator[tuple[str, str]]:
    if not op.required_tensors <= set(node.tensors) <= op.allowed_tensors:
        yield f"tensors {sorted(op.required_tensors)}", f"{sorted(node.tensors)}"
