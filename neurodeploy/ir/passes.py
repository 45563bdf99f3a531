"""Passes are functions graph -> graph that never mutate; the verifier runs before the first and after every one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from neurodeploy.errors import Finding, VerifyError
from neurodeploy.ir.graph import Graph, Node, live_nodes
from neurodeploy.ir.verify import types, verify

Pass = Callable[[Graph], Graph]


def run_passes(graph: Graph, passes: Iterable[Pass]) -> Graph:
    """Run passes in order, verified before the first and after every one.

    Raises VerifyError; its first finding names the pass that broke the graph.
    """
    verify(graph)
    for step in passes:
        graph = step(graph)
        try:
            verify(graph)
        except VerifyError as error:
            name = getattr(step, "__name__", str(step))
            culprit = Finding("ND-G003", "", f"a legal graph after pass {name}", "see below", "report this bug")
            raise VerifyError((culprit, *error.findings)) from error
    return graph


def remove_dead(graph: Graph) -> Graph:
    """Drop the nodes that the output does not need."""
    return replace(graph, nodes=live_nodes(graph))


def redirect(graph: Graph, aliases: dict[str, str]) -> Graph:
    """Let every reader of a key read the value instead, and drop the keys' nodes."""

    def end(name: str) -> str:
        while name in aliases:
            name = aliases[name]
        return name

    nodes = [replace(n, inputs=tuple(map(end, n.inputs))) for n in graph.nodes if n.name not in aliases]
    return graph.with_nodes(nodes, end(graph.output))


def simplify_views(graph: Graph) -> Graph:
    """Merge chains of reshapes and permutes, and drop those that change nothing, until none is left."""
    while True:
        nodes = {node.name: _merged(graph, node) for node in graph.nodes}
        merged = remove_dead(replace(graph, nodes=tuple(nodes.values())))
        known = types(merged)
        idle = {
            n.name: n.inputs[0]
            for n in merged.nodes
            if _changes_nothing(n, known[n.inputs[0]].shape if n.inputs else ())
        }
        if not idle and all(nodes[n.name] is n for n in graph.nodes):
            return merged
        graph = redirect(merged, idle)


def _changes_nothing(node: Node, shape: tuple[int, ...]) -> bool:
    if node.op == "reshape":
        return node.integers("shape") == shape
    return node.op == "permute" and node.integers("axes") == tuple(range(len(shape)))


def _merged(graph: Graph, node: Node) -> Node:
    """The node read past the view before it, where the two are one view."""
    if node.op not in ("reshape", "permute"):
        return node
    before = graph.by_name[node.inputs[0]]
    if node.op == "permute":
        return _merged_permute(graph, node, before)
    if before.op == "reshape" or (before.op == "permute" and _moves_only_ones(graph, before)):
        return replace(node, inputs=before.inputs)
    return node


def _merged_permute(graph: Graph, node: Node, before: Node) -> Node:
    if _moves_only_ones(graph, node):
        shape = types(graph)[node.name].shape
        return replace(node, op="reshape", attributes={"shape": shape})
    if before.op != "permute":
        return node
    inner, outer = before.integers("axes"), node.integers("axes")
    return replace(node, inputs=before.inputs, attributes={"axes": tuple(inner[axis] for axis in outer)})


def _moves_only_ones(graph: Graph, node: Node) -> bool:
    """Whether a permute leaves the elements in their order: only axes of length 1 change place."""
    shape = types(graph)[node.inputs[0]].shape
    moved = [axis for axis in node.integers("axes") if shape[axis] != 1]
    return moved == sorted(moved)
