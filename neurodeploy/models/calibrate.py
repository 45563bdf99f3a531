"""BatchNorms for a model that was never trained, so that its neurons fire as in a trained one.

model = calibrate_norms(spread_norms(qkformer_10_384(), seed=1), images)
"""

from __future__ import annotations

import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

SCALES = (0.5, 1.5)
OFFSETS = (-0.25, 1.0)  # with which every attention neuron fires too; with all at 0, those of the DVS models are silent


@torch.no_grad()
def spread_norms(model: nn.Module, seed: int) -> nn.Module:
    """Give the channels of every BatchNorm random scales and offsets, the same for the same seed; return the model.

    The logits of such a network differ far less between images than between classes: it shows that executors agree,
    and says nothing of accuracy.
    """
    generator = torch.Generator().manual_seed(seed)
    for norm in _norms(model):
        for values, bounds in ((norm.weight, SCALES), (norm.bias, OFFSETS)):
            values.uniform_(*bounds, generator=generator)
    return model


@torch.no_grad()
def calibrate_norms(model: nn.Module, images: Tensor, batch: int = 4) -> nn.Module:
    """Give the BatchNorms of a model the statistics of images, and return it in eval mode; its parameters stay.

    `images` are as the model takes them, [N, C, H, W] or [N, T, C, H, W]. They pass in batches, each from fresh
    membranes, with every BatchNorm on the statistics of its batch; what it keeps is their mean over the batches. The
    same model and images give the same statistics.
    """
    norms = _norms(model.eval())
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # which makes PyTorch keep the mean over all passes
        norm.train()
    for part in torch.split(images, batch):
        functional.reset_net(model)
        model(part)
    functional.reset_net(model)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]
