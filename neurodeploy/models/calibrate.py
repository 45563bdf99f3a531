"""BatchNorm statistics for a model that was never trained, so that its neurons see inputs of a trained one's size."""

from __future__ import annotations

import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def calibrate_norms(model: nn.Module, images: Tensor, batch: int = 4) -> nn.Module:
    """Give the BatchNorms of a model the statistics of images, and return it in eval mode; weights stay.

    `images` are as the model takes them, [N, C, H, W] or [N, T, C, H, W]. They pass in batches, each from fresh
    membranes, with every BatchNorm on the statistics of its batch; what it keeps is their mean over the batches. The
    same model and images give the same statistics.
    """
    norms = [module for module in model.eval().modules() if isinstance(module, _BatchNorm)]
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
