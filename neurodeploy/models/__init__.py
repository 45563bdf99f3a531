"""QKFormer and Spikformer as PyTorch modules whose state-dict keys are those of the official code.

A factory takes nothing, or another number of time steps, classes or pixels, and returns an untrained model in training
mode:

    model = spikformer_mnist()
    model.load_state_dict(torch.load("spikformer_mnist.pth", weights_only=True)["model"])

`FACTORIES` holds all of them by name. This package and the front end are the only ones that import torch.
"""

from __future__ import annotations

from neurodeploy.models.calibrate import calibrate_norms, spread_norms
from neurodeploy.models.factories import (
    FACTORIES,
    Factory,
    qkformer_10_384,
    qkformer_10_512,
    qkformer_10_768,
    qkformer_10_768_288,
    qkformer_10_768_384,
    qkformer_cifar10,
    qkformer_cifar10dvs,
    qkformer_cifar100,
    qkformer_dvs128,
    qkformer_fashion_mnist,
    qkformer_mnist,
    spikformer_8_384,
    spikformer_8_512,
    spikformer_8_768,
    spikformer_10_512,
    spikformer_cifar10,
    spikformer_cifar10_2_384,
    spikformer_cifar10_4_256,
    spikformer_cifar10dvs,
    spikformer_cifar100,
    spikformer_cifar100_2_384,
    spikformer_cifar100_4_256,
    spikformer_dvs128,
    spikformer_mnist,
)
from neurodeploy.models.qkformer import QKFormer, QKFormerConfig
from neurodeploy.models.spikformer import Spikformer, SpikformerConfig

__all__ = [
    "FACTORIES",
    "Factory",
    "QKFormer",
    "QKFormerConfig",
    "Spikformer",
    "SpikformerConfig",
    "calibrate_norms",
    "qkformer_10_384",
    "qkformer_10_512",
    "qkformer_10_768",
    "qkformer_10_768_288",
    "qkformer_10_768_384",
    "qkformer_cifar10",
    "qkformer_cifar10dvs",
    "qkformer_cifar100",
    "qkformer_dvs128",
    "qkformer_fashion_mnist",
    "qkformer_mnist",
    "spikformer_8_384",
    "spikformer_8_512",
    "spikformer_8_768",
    "spikformer_10_512",
    "spikformer_cifar10",
    "spikformer_cifar10_2_384",
    "spikformer_cifar10_4_256",
    "spikformer_cifar10dvs",
    "spikformer_cifar100",
    "spikformer_cifar100_2_384",
    "spikformer_cifar100_4_256",
    "spikformer_dvs128",
    "spikformer_mnist",
    "spread_norms",
]
