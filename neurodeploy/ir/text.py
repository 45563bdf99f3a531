"""The text form of a graph: one line a node, for people, for diffs and for golden tests."""

from __future__ import annotations

import hashlib

from neurodeploy.ir.graph import Attribute, Graph, Node, Tensor
from neurodeploy.ir.verify import types


def to_text(graph: Graph) -> str:
    """The graph as text; equal graphs give equal text, and tensors stand by shape and content hash."""
    known = types(graph)
    head = f"graph {graph.name} stage={graph.stage.value} steps={graph.steps} profile={graph.profile}"
    lines = [f"  %{node.name} = {_call(node)} : {known[node.name]}" for node in graph.nodes]
    return "\n".join([head, *lines, f"  return %{graph.output} * {graph.output_scale:.9g}"]) + "\n"


def _call(node: Node) -> str:
    parts = [f"%{name}" for name in node.inputs]
    parts += [f"{key}={_attribute(value)}" for key, value in sorted(node.attributes.items())]
    parts += [f"{key}={_tensor(value)}" for key, value in sorted(node.tensors.items())]
    return f"{node.op}({', '.join(parts)})"


def _attribute(value: Attribute) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value).replace(" ", "")


def _tensor(value: Tensor) -> str:
    digest = hashlib.sha256(value.tobytes()).hexdigest()[:8]
    return f"{value.dtype}[{'x'.join(map(str, value.shape))}]#{digest}"
