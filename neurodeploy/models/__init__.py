"""QKFormer and Spikformer as PyTorch modules whose state-dict keys are those of the official CIFAR code.

A factory takes nothing and returns an untrained model in training mode:

    model = spikformer_mnist()
    model.load_state_dict(torch.load("spikformer_mnist.pth", weights_only=True)["model"])

This package and the front end are the only ones that import torch.
"""

from __future__ import annotations

from neurodeploy.models.factories import (
    FACTORIES,
    qkformer_cifar10,
    qkformer_cifar100,
    qkformer_fashion_mnist,
    qkformer_mnist,
    spikformer_cifar10,
    spikformer_cifar100,
    spikformer_mnist,
)
from neurodeploy.models.qkformer import QKFormer, QKFormerConfig
from neurodeploy.models.spikformer import Spikformer, SpikformerConfig

__all__ = [
    "FACTORIES",
    "QKFormer",
    "QKFormerConfig",
    "Spikformer",
    "SpikformerConfig",
    "qkformer_cifar10",
    "qkformer_cifar100",
    "qkformer_fashion_mnist",
    "qkformer_mnist",
    "spikformer_cifar10",
    "spikformer_cifar100",
    "spikformer_mnist",
]
