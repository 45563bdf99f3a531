"""Named configurations: the small 28x28 networks that the examples ship, and the official CIFAR ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from neurodeploy.models.qkformer import QKFormer, QKFormerConfig
from neurodeploy.models.spikformer import Spikformer, SpikformerConfig

_SMALL_QKFORMER = QKFormerConfig(
    image_size=28, in_channels=1, dims=(32, 64), depths=(1, 2), heads=(8, 8), pools=(True, True)
)


def qkformer_mnist() -> QKFormer:
    """28x28 grey images, T=4: one token Q-K block of 32 channels at 14x14, two SSA blocks of 64 at 7x7."""
    return QKFormer(_SMALL_QKFORMER)


def qkformer_fashion_mnist() -> QKFormer:
    """The network of `qkformer_mnist`, for Fashion-MNIST."""
    return QKFormer(_SMALL_QKFORMER)


def spikformer_mnist() -> Spikformer:
    """28x28 grey images, T=4: two blocks of 64 channels and 8 heads over 7x7 tokens."""
    return Spikformer(SpikformerConfig(image_size=28, in_channels=1, dim=64, depth=2, heads=8))


def qkformer_cifar10() -> QKFormer:
    """The official CIFAR10 network: 32x32 RGB, 96, 192 and 384 channels, T=4."""
    return QKFormer(QKFormerConfig())


def qkformer_cifar100() -> QKFormer:
    """The official CIFAR100 network: `qkformer_cifar10` with 100 classes."""
    return QKFormer(QKFormerConfig(classes=100))


def spikformer_cifar10() -> Spikformer:
    """The official CIFAR10 network 4-384: 32x32 RGB, four blocks of 384 channels and 12 heads, T=4."""
    return Spikformer(SpikformerConfig())


def spikformer_cifar100() -> Spikformer:
    """The official CIFAR100 network: `spikformer_cifar10` with 100 classes."""
    return Spikformer(SpikformerConfig(classes=100))


FACTORIES: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        factory.__name__: factory
        for factory in (
            qkformer_mnist,
            spikformer_mnist,
            qkformer_fashion_mnist,
            qkformer_cifar10,
            qkformer_cifar100,
            spikformer_cifar10,
            spikformer_cifar100,
        )
    }
)
