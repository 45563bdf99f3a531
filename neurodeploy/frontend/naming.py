"""Names of canonical nodes: the module that made them, and the op where it is no layer's own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from torch import nn

from neurodeploy.ir.graph import Graph, Node

_VIEWS = ("reshape", "permute", "slice")
_NAMED = ("input", "events", "neuron")


def named(graph: Graph, model: nn.Module) -> Graph:
    """The graph with final names, e.g. `stage1.0.tssa.q_conv` and `stage1.0.add`, unique.

    A neuron, and the one node that is no view of a module without children, bear the module's path; every other node
    gets the path of its module with the op as last part, and a number where that is taken.
    """
    layers = {
        path for path, module in model.named_modules(remove_duplicate=False) if path and not any(module.children())
    }
    made = Counter(node.source.path for node in graph.nodes if node.op not in _VIEWS)
    names: dict[str, str] = {}
    for node in graph.nodes:
        path = node.source.path
        own = node.op in _NAMED or (path in layers and made[path] == 1 and node.op not in _VIEWS)
        if own:
            names[node.name] = path
    taken = set(names.values())
    for node in graph.nodes:
        if node.name not in names:
            names[node.name] = _free(node, taken)
            taken.add(names[node.name])
    nodes = (replace(n, name=names[n.name], inputs=tuple(names[i] for i in n.inputs)) for n in graph.nodes)
    return replace(graph, nodes=tuple(nodes), output=names[graph.output])


def _free(node: Node, taken: set[str]) -> str:
    base = f"{node.source.path}.{node.op}".lstrip(".")
    name, number = base, 0
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name
