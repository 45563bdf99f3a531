"""The nodes that hold numbers, as modules. What the model learnt is learnt on; what the quantizer made is fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurodeploy.finetuning import ops
from neurodeploy.finetuning.budgets import Budgets
from neurodeploy.finetuning.grids import Bias, Fixed, Weight, start
from neurodeploy.finetuning.lif import Neuron, fire
from neurodeploy.ir.graph import Graph, Node, tensor
from neurodeploy.ir.types import Interval, signed
from neurodeploy.numerics import PROFILES

Latents = Mapping[str, NDArray[np.float64]]
CARRIES = ("max_pool", "add", "delay", "reshape", "permute", "slice", "reduce_sum")
LOGIT_BITS = 32  # of the read-out's bias
INT16 = 1 << 15


class Layer(nn.Module):
    """A node with numbers, which are a `Weight`, a `Bias` or `Fixed`."""

    def __init__(self, node: Node, numbers: nn.Module) -> None:
        super().__init__()
        self.node, self.numbers = node, numbers

    def deployed(self) -> Node:
        """The node with the integers as they are now."""
        return self.node


class Encoder(Layer):
    """encode, encode_events: images [N, *shape] or event frames [N, T, *shape] to codes [1 or T, N, *shape]."""

    def forward(self, images: Tensor) -> Tensor:
        """The codes."""
        codes = ops.encode(self.node, images, self.numbers())
        return codes.unsqueeze(0) if self.node.op == "encode" else codes.transpose(0, 1)


class Convolution(Layer):
    """conv: sums of whole weights."""

    def forward(self, x: Tensor) -> Tensor:
        """The sums."""
        return ops.conv(self.node, x, self.numbers())

    def deployed(self) -> Node:
        """The node with its weights."""
        weight = tensor(_array(self.numbers()), self.node.tensors["weight"].dtype)
        return replace(self.node, tensors={**self.node.tensors, "weight": weight})


class Population(Layer):
    """lif."""

    def __init__(self, node: Node, numbers: nn.Module, neuron: Neuron) -> None:
        super().__init__(node, numbers)
        self.neuron = neuron

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes [T, N, *shape], and the membranes that decided on them."""
        return fire(x, self.numbers(), self.neuron)

    def deployed(self) -> Node:
        """The node with its bias."""
        if not isinstance(self.numbers, Bias):
            return self.node
        exponent, old = self.numbers.exponent, self.node.tensors["bias_mant"]
        mantissa = np.rint(_array(self.numbers()) / (1 << exponent)).reshape(old.shape)
        dtype = np.int16 if np.abs(mantissa).max() < INT16 else np.int64  # as the quantizer stores them
        tensors = {**self.node.tensors, "bias_mant": tensor(mantissa, dtype)}
        return replace(self.node, tensors=tensors, attributes={**self.node.attributes, "bias_exp": exponent})


class Delay(Layer):
    """delay: what came in some steps before, zero before the first one."""

    def __init__(self, node: Node, numbers: nn.Module, steps: int) -> None:
        super().__init__(node, numbers)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        """The values [T, N, *shape], late."""
        return ops.delay(x, self.numbers(), self.steps)


class Readout(Layer):
    """readout: integer logits, float64."""

    def __init__(self, node: Node, numbers: nn.Module, steps: int) -> None:
        super().__init__(node, numbers)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        """The logits [N, classes]."""
        return ops.readout(x, self.numbers(), self.steps)

    def deployed(self) -> Node:
        """The node with its bias."""
        return replace(self.node, tensors={"bias": tensor(_array(self.numbers()), np.int64)})


def _array(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.detach().cpu().numpy(), np.float64)


@dataclass(frozen=True)
class Plan:
    """What the layers of a graph are made by.

    exact: latent numbers by node; None: the integers themselves.  learnt: the convolutions and LIFs that are learnt.
    bits: of the weights of a convolution.  surrogate: of SpikingJelly.
    """

    graph: Graph
    exact: Latents | None
    learnt: frozenset[str]
    budgets: Budgets
    bits: Mapping[str, int]
    surrogate: nn.Module

    def layers(self) -> Iterator[tuple[str, Layer]]:
        """Name and module of every node that holds numbers, in graph order."""
        for node in self.graph.nodes:
            if node.op in _MAKERS:
                yield node.name, _MAKERS[node.op](self, node)

    def given(self, node: Node) -> Tensor | None:
        """What the node's integers were rounded from."""
        found = None if self.exact is None else self.exact.get(node.name)
        return None if found is None else torch.from_numpy(np.array(found, np.float64))


def learnt_nodes(graph: Graph) -> tuple[list[str], list[str]]:
    """The convolutions that are learnt, and the LIFs that read a current of theirs: their biases are learnt."""
    convs = [node.name for node in graph.of("conv") if node.name not in graph.made]
    currents = {*convs}
    for node in graph.nodes:
        if node.op in CARRIES and not currents.isdisjoint(node.inputs):
            currents.add(node.name)
    made = graph.made
    return convs, [node.name for node in graph.of("lif") if node.inputs[0] in currents and node.name not in made]


def _encoder(plan: Plan, node: Node) -> Layer:
    return Encoder(node, Fixed(torch.tensor([node.number("step")], dtype=torch.float32)))


def _convolution(plan: Plan, node: Node) -> Layer:
    weight = torch.from_numpy(node.tensors["weight"].astype(np.float64))
    if node.name not in plan.learnt:
        return Convolution(node, Fixed(weight.float()))
    top = (1 << (plan.bits.get(node.name, PROFILES[plan.graph.profile].weight_bits) - 1)) - 1
    span = Interval(-top, top).union(Interval(int(weight.min()), int(weight.max())))
    axon = plan.budgets.known[node.inputs[0]].range.union(Interval(0, 0))
    return Convolution(node, Weight(start(weight, plan.given(node)), span, axon, plan.budgets.sums[node.name]))


def _population(plan: Plan, node: Node) -> Layer:
    profile, learnt = PROFILES[plan.graph.profile], node.name in plan.learnt
    counts = not learnt and plan.budgets.known[node.inputs[0]].range.lo >= 0
    neuron = Neuron.of(node, plan.graph.steps, profile, counts, plan.surrogate)
    least, mantissa = node.integer("bias_exp"), torch.from_numpy(node.tensors["bias_mant"].astype(np.float64))
    mantissa = mantissa.reshape(1, 1, *mantissa.shape)
    if not learnt:
        return Population(node, Fixed(mantissa * (1 << least)), neuron)
    given = plan.given(node)
    latent = start(mantissa, None if given is None else given / (1 << least)) * (1 << least)
    exponents, proven = (least, max(least, profile.bias_exponent_max)), plan.budgets.biases[node.name]
    return Population(node, Bias(latent, signed(profile.bias_bits), exponents, proven, neuron.unit), neuron)


def _readout(plan: Plan, node: Node) -> Layer:
    bias = torch.from_numpy(node.tensors["bias"].astype(np.float64))
    span = signed(max(LOGIT_BITS, 2 + int(bias.abs().max()).bit_length()))
    numbers = Bias(start(bias, plan.given(node)), span, (0, 0), None, 1 / (plan.graph.output_scale or 1.0))
    return Readout(node, numbers, plan.graph.steps)


def _delay(plan: Plan, node: Node) -> Layer:
    return Delay(node, Fixed(torch.from_numpy(node.tensors["delay"].astype(np.int64))), plan.graph.steps)


_MAKERS: dict[str, Callable[[Plan, Node], Layer]] = {
    "encode": _encoder,
    "encode_events": _encoder,
    "conv": _convolution,
    "lif": _population,
    "delay": _delay,
    "readout": _readout,
}
NUMBERS = frozenset(_MAKERS)
