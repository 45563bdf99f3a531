"""The float network as runtimes like it best: BatchNorms folded, neurons as plain arithmetic, a still image once."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

OPSET = 17
FUSIONS = (("conv", fuse_conv_bn_eval), ("linear", fuse_linear_bn_eval))  # what stands for "bn" in the partner's name


class PlainLIF(nn.Module):
    """A LIF over [T, ...] from membrane 0 with hard reset to 0, in SpikingJelly's order of operations; no state."""

    def __init__(self, tau: float, threshold: float) -> None:
        super().__init__()
        self.tau, self.threshold = tau, threshold

    def forward(self, x: Tensor) -> Tensor:
        """Currents [T, ...] to spikes of 0 and 1 of the same shape and type."""
        membrane, spikes = x[0] / self.tau, list[Tensor]()
        for current in x.unbind(0):
            membrane = membrane + (current - membrane) / self.tau if spikes else membrane
            spikes.append((membrane >= self.threshold).to(x.dtype))
            membrane = membrane * (1 - spikes[-1])
        return torch.stack(spikes)


class Once(nn.Module):
    """A layer over [T * B, ...] whose T inputs are the same: computed once, repeated T times."""

    def __init__(self, layer: nn.Module, steps: int) -> None:
        super().__init__()
        self.layer, self.steps = layer, steps

    def forward(self, x: Tensor) -> Tensor:
        """[T * B, ...], time outermost, to [T * B, ...]."""
        y: Tensor = self.layer(x[: x.shape[0] // self.steps])
        return y.repeat(self.steps, *(1 for _ in y.shape[1:]))


def folded(model: nn.Module) -> nn.Module:
    """A copy of a model of neurodeploy.models in eval mode, made for speed; without rounding the spikes are the same.

    Raises LookupError for a BatchNorm that no layer takes in.
    """
    made = copy.deepcopy(model).eval()
    for module in list(made.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                _fuse(module, name, child)
            elif isinstance(child, neuron.LIFNode):
                setattr(module, name, PlainLIF(child.tau, child.v_threshold))
    return made if made.config.events else _still(made)


def _fuse(module: nn.Module, name: str, norm: _BatchNorm) -> None:
    for kind, fuse in FUSIONS:
        partner = name.replace("bn", kind)
        layer = getattr(module, partner, None)
        if layer is not None:
            setattr(module, partner, fuse(layer, norm))
            setattr(module, name, nn.Identity())
            return
    raise LookupError(f"no layer takes in the BatchNorm {name}")


def _still(model: nn.Module) -> nn.Module:
    """The first convolution, which sees the same image in every step, is computed once."""
    name, first = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, Once(first, model.config.steps))
    return model


def export(model: nn.Module, images: Tensor, path: Path) -> None:
    """Write a folded model for images of this shape, batch included, as ONNX."""
    with torch.inference_mode():
        torch.onnx.export(
            model, (images,), path, opset_version=OPSET, dynamo=False, input_names=["images"], output_names=["logits"]
        )
