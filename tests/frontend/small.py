"""Small models for the tracer's tests, with SpikingJelly's neurons and batch norms that have something to fold."""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import layer
from spikingjelly.activation_based.neuron import IFNode, LIFNode, ParametricLIFNode
from torch import Tensor, nn

from neurodeploy.ir.graph import Graph
from neurodeploy.models import QKFormer, QKFormerConfig, Spikformer, SpikformerConfig
from tests.float_graph import run_float

STEPS = 4


def interpret(graph: Graph, frames: Tensor) -> dict[str, Tensor]:
    """Every value of a graph, float64 [T, *shape], for one sample [*shape] or its events [T, *shape]."""
    source = next(node for node in graph.nodes if not node.inputs)
    event = frames.ndim > len(source.integers("shape"))
    found = run_float(graph, frames[:, None].numpy() if event else frames[None].numpy())
    return {name: torch.tensor(value[:, 0]) for name, value in found.items()}


def lif(**options: Any) -> LIFNode:
    return LIFNode(**{"tau": 2.0, "step_mode": "m", **options})


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model in eval mode, with seeded weights and statistics that make its neurons spike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for values, low in ((module.weight, 0.8), (module.bias, 0.7), (module.running_var, 0.3)):
                    values.copy_(low + torch.rand(values.shape, generator=generator))
                module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) / 5)
    return model.eval()


def tiny_qkformer() -> nn.Module:
    """One token Q-K block of 8 channels at 4x4 and one SSA block of 16 at 2x2."""
    return lively(QKFormer(QKFormerConfig(8, 1, 3, (8, 16), (1, 1), (2, 2), (True, True), 2)))


def tiny_spikformer() -> nn.Module:
    """One block of 16 channels and 2 heads over 4 tokens."""
    return lively(Spikformer(SpikformerConfig(8, 1, 3, 16, 1, 2, (False, False, True, True), 2)))


class Net(nn.Module):
    """An image through one convolution and a neuron; `body` gets spikes [T, B, 4, 4, 4]."""

    def __init__(self, neuron: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.lif = neuron if neuron is not None else lif()
        self.head = nn.Linear(4, 3)

    def body(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)
        y = self.bn(self.conv(x.flatten(0, 1))).unflatten(0, (STEPS, -1))
        y = self.body(self.lif(y))
        return self.head(y.flatten(3).mean(3)).mean(0)


class Neurons(Net):
    """IF without decay, PLIF, LIF with decay_input False, a reset that is not zero, scales and in-place sums."""

    def __init__(self) -> None:
        super().__init__(IFNode(v_threshold=1.5, v_reset=-0.5, step_mode="m"))
        self.plif = ParametricLIFNode(init_tau=3.0, v_threshold=0.5, step_mode="m")
        self.leaky = lif(decay_input=False, v_reset=0.25, v_threshold=1.25)

    def body(self, x: Tensor) -> Tensor:
        x = self.plif(x) + x
        x += self.leaky(x)
        return x * 0.5 / 3


class Layers(Net):
    """A grouped and a strided convolution, a pool to one value, a linear layer over single values, a sum over time."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.lif1, self.lif2 = lif(), lif(v_threshold=0.5)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 6)
        self.fc_bn = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.lif(self.bn(self.conv(x)).unsqueeze(0).expand(STEPS, -1, -1, -1, -1))
        y = self.norm(self.grouped(y.flatten(0, 1)))
        y = self.pool(self.lif1(y.view(STEPS, -1, *y.shape[1:])).flatten(0, 1)).flatten(1)
        y = self.lif2(self.fc_bn(self.fc(y)).view(STEPS, -1, 6))
        return self.head(y).sum(0) / STEPS


class Containers(Net):
    """SpikingJelly's multi-step layers, which fold time into the batch themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layer.SeqToANNContainer(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.second = nn.Sequential(
            layer.Conv2d(4, 6, 3, padding=1, step_mode="m"),
            layer.BatchNorm2d(6, step_mode="m"),
            lif(v_threshold=0.5),
            layer.MaxPool2d(2, step_mode="m"),
            layer.Dropout(0.5, step_mode="m"),
            layer.Flatten(step_mode="m"),
            layer.Linear(24, 3, step_mode="m"),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1).repeat(1, STEPS, 1, 1, 1).transpose(0, 1)
        return self.second(self.lif(self.first(x))).mean(0)


class Events(Net):
    """Frames [B, T, C, H, W] instead of a repeated image."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        y = self.bn(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        return self.head(self.lif(y).sum((3, 4))).mean(0)
