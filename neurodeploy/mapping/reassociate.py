"""Q K^T V in the order that costs fewer product neurons: (Q K^T) V or Q (K^T V), equal in integers."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.mapped import AttentionOrder
from neurodeploy.ir.passes import Pass
from neurodeploy.ir.verify import types


def reassociate(order: AttentionOrder) -> Pass:
    """A pass that puts every chain of two spike_matmuls in the order asked for, or in the cheaper one ("auto")."""

    def attention_order(graph: Graph) -> Graph:
        for outer in graph.of("spike_matmul"):
            graph = _reordered(graph, graph.by_name[outer.name], order)
        return graph

    return attention_order


def products(n: int, k: int, m: int) -> int:
    """Product neurons of one [n, k] times [k, m]."""
    return n * k * m


def _reordered(graph: Graph, outer: Node, order: AttentionOrder) -> Graph:
    left, right = (graph.by_name[name] for name in outer.inputs)
    if _inner(graph, left):
        a, b, c = (*left.inputs, right.name)
        return _with(graph, outer, left, (a, (b, c))) if _kv_wanted(graph, (a, b, c), order) else graph
    if _inner(graph, right):
        a, b, c = (left.name, *right.inputs)
        return graph if _kv_wanted(graph, (a, b, c), order) else _with(graph, outer, right, ((a, b), c))
    return graph


def _inner(graph: Graph, node: Node) -> bool:
    return node.op == "spike_matmul" and len(graph.consumers[node.name]) == 1


def _kv_wanted(graph: Graph, names: tuple[str, str, str], order: AttentionOrder) -> bool:
    if order != "auto":
        return order == "stream" or order.startswith("kv")
    known = types(graph)
    (n, k), (_, m), (_, p) = (known[name].shape[-2:] for name in names)
    return products(k, m, p) + products(n, k, p) < products(n, k, m) + products(n, m, p)


def _with(graph: Graph, outer: Node, inner: Node, tree: tuple[object, object]) -> Graph:
    """The same two nodes, multiplying in the order of the tree; nodes keep their names."""
    fresh = {
        inner.name: replace(inner, inputs=next(part for part in tree if isinstance(part, tuple))),
        outer.name: replace(outer, inputs=tuple(inner.name if isinstance(p, tuple) else str(p) for p in tree)),
    }
    return graph.with_nodes(fresh.get(node.name, node) for node in graph.nodes)


def cost(graph: Graph) -> int:
    """Product neurons of all spike_matmuls."""
    known = types(graph)
    return sum(prod(known[n.inputs[0]].shape) * known[n.inputs[1]].shape[-1] for n in graph.of("spike_matmul"))
