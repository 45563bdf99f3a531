"""Fold batch norms into the convolution before them; exact in real numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodeploy.errors import Finding, UnsupportedModelError
from neurodeploy.ir.graph import Graph, Node, tensor
from neurodeploy.ir.passes import redirect


def fold_batchnorm(graph: Graph) -> Graph:
    """Every `batchnorm` becomes part of the `conv` it reads: w' = scale w, b' = scale b + shift (float64).

    Raises UnsupportedModelError with every batch norm that has no convolution of its own before it.
    """
    norms = graph.of("batchnorm")
    findings = [finding for norm in norms if (finding := _obstacle(graph, norm))]
    if findings:
        raise UnsupportedModelError(findings)
    convs, aliases = dict[str, Node](), dict[str, str]()
    for norm in norms:
        name = aliases.get(norm.inputs[0], norm.inputs[0])
        convs[name] = _folded(convs.get(name, graph.by_name[name]), norm)
        aliases[norm.name] = name
    return redirect(replace(graph, nodes=tuple(convs.get(node.name, node) for node in graph.nodes)), aliases)


def _obstacle(graph: Graph, norm: Node) -> Finding | None:
    before = graph.by_name[norm.inputs[0]]
    if before.op in ("conv", "batchnorm") and len(graph.consumers[before.name]) == 1:
        return None
    have = f"{before.op} {before.name} with {len(graph.consumers[before.name])} readers"
    mend = "put a convolution or linear layer of its own right before this batch norm"
    return Finding("ND-Q003", norm.name, "a conv that only this batchnorm reads", have, mend, str(norm.source))


def _folded(conv: Node, norm: Node) -> Node:
    """The convolution with the batch norm in its weights and bias."""
    weight = conv.tensors["weight"].astype(np.float64)
    scale, shift = norm.tensors["scale"].astype(np.float64), norm.tensors["shift"].astype(np.float64)
    bias = conv.tensors["bias"].astype(np.float64) if "bias" in conv.tensors else np.zeros(len(weight))
    folded = {
        "weight": tensor(weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), np.float64),
        "bias": tensor(bias * scale + shift, np.float64),
    }
    return replace(conv, tensors=folded)
