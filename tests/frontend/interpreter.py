"""A float64 interpreter of traced graphs in plain torch, to hold the tracer against the model itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from neurodeploy.ir.graph import Graph, Node


def interpret(graph: Graph, frames: Tensor) -> dict[str, Tensor]:
    """Every value of a graph, float64 [T, *shape], for one sample [C, H, W] or events [T, C, H, W].

    The output's value is the mean over time, repeated T times.
    """
    events = frames.double() if frames.ndim == 4 else frames.double().expand(graph.steps, *frames.shape)
    values: dict[str, Tensor] = {}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        values[node.name] = events if node.op == "input" else _OPS[node.op](node, *inputs)
    return values


def _neuron(node: Node, x: Tensor) -> Tensor:
    decay, spikes = node.number("decay"), []
    v = torch.zeros_like(x[0])
    for step in x:
        v = v + (step - v) * decay if node.integer("decay_input") else v - v * decay + step
        spikes.append((v >= node.number("threshold")).double())
        v = torch.where(spikes[-1] > 0, 0.0, v)
    return torch.stack(spikes)


def _conv(node: Node, x: Tensor) -> Tensor:
    weight, bias = (torch.tensor(node.tensors[k]).double() if k in node.tensors else None for k in ("weight", "bias"))
    if weight is not None and weight.ndim == 2:
        return F.linear(x, weight, bias)
    function: Callable[..., Tensor] = F.conv1d if x.ndim == 3 else F.conv2d
    window = {key: node.integers(key) for key in ("stride", "padding")}
    return function(x, weight, bias, groups=node.integer("groups"), **window)


def _batchnorm(node: Node, x: Tensor) -> Tensor:
    column = (-1, *[1] * (x.ndim - 2))
    return x * torch.tensor(node.tensors["scale"]).view(column) + torch.tensor(node.tensors["shift"]).view(column)


def _max_pool(node: Node, x: Tensor) -> Tensor:
    function: Callable[..., Tensor] = F.max_pool1d if x.ndim == 3 else F.max_pool2d
    return function(x, node.integers("kernel"), node.integers("stride"), node.integers("padding"))


def _reduce(node: Node, x: Tensor) -> Tensor:
    function: Callable[..., Tensor] = torch.mean if node.op == "reduce_mean" else torch.sum
    return function(x, [axis + 1 for axis in node.integers("axes")], bool(node.integer("keepdims")))


_OPS: Mapping[str, Callable[..., Tensor]] = {
    "neuron": _neuron,
    "conv": _conv,
    "batchnorm": _batchnorm,
    "max_pool": _max_pool,
    "reduce_sum": _reduce,
    "reduce_mean": _reduce,
    "add": lambda node, a, b: a + b,
    "mul": lambda node, a, b: a * b,
    "matmul": lambda node, a, b: a @ b,
    "scale": lambda node, x: x * node.number("factor"),
    "reshape": lambda node, x: x.reshape(len(x), *node.integers("shape")),
    "permute": lambda node, x: x.permute(0, *(axis + 1 for axis in node.integers("axes"))),
    "time_mean": lambda node, x: x.mean(0, keepdim=True).expand_as(x),
}
