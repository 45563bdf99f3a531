"""SpikingJelly 2.0's own models at small sizes, untrained, with BatchNorms that let their neurons fire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from spikingjelly.activation_based import functional, layer
from spikingjelly.activation_based.neuron import IFNode, LIFNode, ParametricLIFNode
from torch import Tensor, nn

from neurodeploy.frontend.standins import instead_of_torchvision
from neurodeploy.models.calibrate import calibrate_norms, spread_norms

pytest.importorskip("spikingjelly.activation_based.model.qkformer", reason="needs SpikingJelly 2.0, Python 3.11+")
from spikingjelly.activation_based.model import maxformer, qkformer, spike_driven_transformer, spikformer

SIZE, CLASSES, STEPS = 32, 5, 2


def pictures(count: int, seed: int = 5) -> NDArray[np.float32]:
    """Smooth random pictures in 0..1, [count, 3, SIZE, SIZE]."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (SIZE, SIZE), mode="bicubic").clip(0, 1).numpy()


def sew_module() -> ModuleType:
    """SpikingJelly's sew_resnet; it asks torchvision, which may be missing or unfit, for a download alone."""
    with instead_of_torchvision():
        from spikingjelly.activation_based.model import sew_resnet
    return sew_resnet


@dataclass(frozen=True)
class Case:
    """A model of the zoo.

    steps: T where it makes no time steps itself.  target: what it is compiled for.  lowered: whether to lower it, too.
    lift: what is added to the biases of its BatchNorms.
    """

    make: Callable[[], nn.Module]
    steps: int | None = None
    target: str = "loihi2"
    lowered: bool = False
    lift: float = 0.75

    def model(self, seed: int = 0) -> nn.Module:
        """The model in eval mode, seeded, its BatchNorms calibrated on random images."""
        torch.manual_seed(seed)
        model = spread_norms(self.make(), seed)
        with torch.no_grad():
            for norm in (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
                norm.bias += self.lift  # few tokens: attention would be silent
        timed = model if self.steps is None else Timed(model, self.steps)
        calibrate_norms(timed, torch.tensor(pictures(8)))
        return model.eval()


class Timed(nn.Module):
    """A model of SpikingJelly without time steps of its own, run as its examples do: the mean over T of its logits."""

    def __init__(self, model: nn.Module, steps: int) -> None:
        super().__init__()
        self.model, self.steps = model, steps
        self.single = all(m.step_mode == "s" for m in model.modules() if hasattr(m, "v_threshold"))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        if self.single:
            return sum(self.model(x) for _ in range(self.steps)) / self.steps  # type: ignore[no-any-return]
        return self.model(x.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1)).mean(0)  # type: ignore[no-any-return]


def _qkformer(**options: Any) -> nn.Module:
    sizes = {"embed_dims": 32, "num_classes": CLASSES, "num_heads": (1, 2, 2), "depths": (1, 1, 1), "mlp_ratio": 2.0}
    return qkformer.QKFormer(**{**sizes, **options})


def _spikformer(patch: int, **options: Any) -> nn.Module:
    sizes = {"embed_dims": 32, "num_classes": CLASSES, "num_heads": 2, "depths": 1, "mlp_ratio": 2.0}
    return spikformer.Spikformer(img_size_h=SIZE, img_size_w=SIZE, patch_size=patch, **sizes, **options)


def _maxformer(**options: Any) -> nn.Module:
    return maxformer.MaxFormer(embed_dims=32, num_classes=CLASSES, depths=(1, 1, 1), mlp_ratio=2.0, **options)


def _sdt(**options: Any) -> nn.Module:
    sizes = {"embed_dims": 32, "num_classes": CLASSES, "num_heads": 2, "depths": 1, "mlp_ratio": 2.0}
    return spike_driven_transformer.SpikeDrivenTransformer(**sizes, **options)


NEURONS = {"IF": IFNode, "LIF": LIFNode, "PLIF": ParametricLIFNode}


def sew_resnet(cnf: str, mode: str, neuron: str = "IF") -> nn.Module:
    """A SEW-ResNet of four blocks; its widths are fixed."""
    sew = sew_module()
    model = sew.SEWResNet(
        sew.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES, cnf=cnf, spiking_neuron=NEURONS[neuron], v_threshold=0.5
    )
    functional.set_step_mode(model, mode)
    return model  # type: ignore[no-any-return]


class Blocks(nn.Module):
    """Two blocks of a SEW-ResNet, the second with stride and downsampling, between a stem and a head like its own."""

    def __init__(self, cnf: str, neuron: str, mode: str, block: str = "BasicBlock") -> None:
        super().__init__()
        kind, options = getattr(sew_module(), block), {"cnf": cnf, "v_threshold": 0.5}
        make, wide = NEURONS[neuron], 8 * kind.expansion
        self.conv1, self.bn1 = layer.Conv2d(3, wide, 3, padding=1), layer.BatchNorm2d(wide)
        self.sn1, self.maxpool = make(v_threshold=0.5), layer.MaxPool2d(3, 2, 1)
        self.block1 = kind(wide, 8, spiking_neuron=make, **options)
        down = nn.Sequential(layer.Conv2d(wide, 2 * wide, 1, 2, bias=False), layer.BatchNorm2d(2 * wide))
        self.block2 = kind(wide, 16, 2, down, spiking_neuron=make, **options)
        self.avgpool, self.fc = layer.AdaptiveAvgPool2d((1, 1)), layer.Linear(2 * wide, CLASSES)
        functional.set_step_mode(self, mode)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of one step, [N, classes], or of all, [T, N, classes]."""
        x = self.maxpool(self.sn1(self.bn1(self.conv1(x))))
        return self.fc(self.avgpool(self.block2(self.block1(x))).flatten(-3))  # type: ignore[no-any-return]


ZOO: dict[str, Case] = {
    "spikformer, patch 4": Case(lambda: _spikformer(4), lowered=True),
    "spikformer, patch 16": Case(lambda: _spikformer(16, T=2), lowered=True),
    "spikformer of IF": Case(lambda: _spikformer(4, spiking_neuron=IFNode, v_threshold=0.75), lift=0.0),
    "qkformer, token": Case(_qkformer, lowered=True),
    "qkformer, channel": Case(lambda: _qkformer(qka_type="channel"), lowered=True),
    "qkformer of PLIF": Case(lambda: _qkformer(spiking_neuron=ParametricLIFNode, init_tau=3.0, v_threshold=0.5)),
    "maxformer": Case(_maxformer, target="cpu", lift=0.6),
    "maxformer, cifar": Case(lambda: _maxformer(cifar=True), target="cpu", lift=0.0),
    "spike-driven transformer": Case(_sdt, target="cpu", lift=0.25),
    "sew ADD, IF, multi-step": Case(lambda: Blocks("ADD", "IF", "m"), STEPS, lowered=True),
    "sew AND, LIF, multi-step": Case(lambda: Blocks("AND", "LIF", "m"), STEPS, lowered=True),
    "sew IAND, PLIF, multi-step": Case(lambda: Blocks("IAND", "PLIF", "m"), STEPS, lowered=True),
    "sew Bottleneck, ADD, LIF, single-step": Case(lambda: Blocks("ADD", "LIF", "s", "Bottleneck"), STEPS),
    "sew_resnet, IAND, IF, single-step": Case(lambda: sew_resnet("IAND", "s"), STEPS),
}
