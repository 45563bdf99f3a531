"""Small graphs that the tests of the graph and of its file share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neurodeploy.ir.graph import Attribute, Graph, Node, Source, Stage, tensor


def encode(shape: tuple[int, ...] = (1, 2, 2), lo: int = 0, hi: int = 15) -> Node:
    """Pixels of 1/16."""
    return Node("encode", "pixels", (), {"shape": shape, "step": 0.0625, "lo": lo, "hi": hi})


def conv(name: str, value: str, weight: Any, padding: int = 0, stride: int = 1) -> Node:
    """A convolution with the same window on every axis."""
    weights = tensor(weight, np.int8)
    rank = weights.ndim - 2
    window: dict[str, Attribute] = {"stride": (stride,) * rank, "padding": (padding,) * rank, "groups": 1}
    return Node("conv", name, (value,), window, {"weight": weights}, Source(f"model.{name}", "model.py", 7))


def lif(name: str, value: str, bias: Any, **own: int) -> Node:
    """A LIF of tau 2 unless `own` says otherwise."""
    attributes = {"vth": 10, "dv": 2048, "weight_exp": 0, "bias_exp": 0, **own}
    return Node("lif", name, (value,), attributes, {"bias_mant": tensor(bias, np.int16)})


def quantized(*nodes: Node, steps: int = 2) -> Graph:
    """A quantized graph whose output is the last node."""
    return Graph("net", Stage.QUANTIZED, steps, nodes, nodes[-1].name, output_scale=0.1)


def small() -> Graph:
    """Pixels, a convolution, a LIF and a linear read-out: the least whole network."""
    return quantized(
        encode(),
        conv("block.conv", "pixels", np.arange(-9, 9).reshape(2, 1, 3, 3), padding=1),
        lif("block.lif", "block.conv", [[[3]], [[-3]]]),
        Node("reshape", "flat", ("block.lif",), {"shape": (8,)}),
        conv("head", "flat", np.arange(-8, 16).reshape(3, 8)),
        Node("readout", "logits", ("head",), {}, {"bias": tensor([1, 0, -1], np.int64)}),
    )


def renamed(names: dict[str, str]) -> Graph:
    """The small graph with other names for some of its layers."""
    graph = small()
    nodes = [
        replace(n, name=names.get(n.name, n.name), inputs=tuple(names.get(i, i) for i in n.inputs)) for n in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes), output=names.get(graph.output, graph.output))
