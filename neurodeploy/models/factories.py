"""Named configurations: the small 28x28 networks that the examples ship, and those that the papers report.

`qkformer_10_384` and `spikformer_8_512` are networks for ImageNet, by depth and width; the others name their data set.
A factory takes nothing, or another number of time steps, classes or pixels, and returns an untrained model in training
mode; its `config` and `summary` are there without building anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from torch import nn

from neurodeploy.models.qkformer import QKFormer, QKFormerConfig
from neurodeploy.models.spikformer import Spikformer, SpikformerConfig

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Factory(Generic[Model]):
    """Builds the model of a configuration: `factory()`, or with some entries changed, `factory(steps=1)`."""

    build: Callable[[Any], Model]
    config: QKFormerConfig | SpikformerConfig
    summary: str

    def __call__(self, *, steps: int | None = None, classes: int | None = None, image_size: int | None = None) -> Model:
        """The untrained model. Raises `UsageError` for values that the configuration does not allow."""
        given: dict[str, Any] = {"steps": steps, "classes": classes, "image_size": image_size}
        return self.build(replace(self.config, **{key: value for key, value in given.items() if value is not None}))


def _qkformer(config: QKFormerConfig, summary: str) -> Factory[QKFormer]:
    return Factory(QKFormer, config, summary)


def _spikformer(config: SpikformerConfig, summary: str) -> Factory[Spikformer]:
    return Factory(Spikformer, config, summary)


def _hst(dim: int, pixels: int = 224) -> Factory[QKFormer]:
    """HST-10-`dim` of the QKFormer paper: 1000 classes, heads of 64 channels in the last stage."""
    config = QKFormerConfig(
        image_size=pixels,
        classes=1000,
        dims=(dim // 4, dim // 2, dim),
        depths=(1, 2, 7),
        heads=(dim // 64,) * 3,
        pools=(True, True, True),
        dialect="imagenet",
    )
    return _qkformer(config, f"QKFormer HST-10-{dim} for ImageNet, {pixels}x{pixels} RGB, T=4")


def _events_qkformer(classes: int, mlp_ratio: int, data: str) -> Factory[QKFormer]:
    """The QKFormer of the event cameras: 2 polarities, 128 and 256 channels, one block each."""
    config = QKFormerConfig(
        image_size=128,
        in_channels=2,
        classes=classes,
        dims=(128, 256),
        depths=(1, 1),
        heads=(16, 16),
        pools=(True, True),
        mlp_ratio=mlp_ratio,
        steps=16,
        dialect="dvs",
        events=True,
    )
    return _qkformer(config, f"QKFormer for {data}, frames of 2x128x128, T=16 (published with 10 and 16)")


def _imagenet_spikformer(depth: int, dim: int) -> Factory[Spikformer]:
    """Spikformer-`depth`-`dim` for ImageNet: heads of 64 channels, 14x14 tokens."""
    config = SpikformerConfig(
        image_size=224,
        classes=1000,
        dim=dim,
        depth=depth,
        heads=dim // 64,
        pools=(True, True, True, True),
        dialect="imagenet",
        norms=False,
    )
    return _spikformer(config, f"Spikformer-{depth}-{dim} for ImageNet, 224x224 RGB, T=4")


def _cifar_spikformer(depth: int, dim: int, classes: int) -> Factory[Spikformer]:
    """Spikformer-`depth`-`dim` for CIFAR: heads of 32 channels, 8x8 tokens."""
    config = SpikformerConfig(classes=classes, dim=dim, depth=depth, heads=dim // 32)
    return _spikformer(config, f"Spikformer-{depth}-{dim} for CIFAR{classes}, 32x32 RGB, T=4")


def _events_spikformer(classes: int, data: str) -> Factory[Spikformer]:
    """Spikformer-2-256 of the event cameras: 2 polarities, 16 heads, 8x8 tokens."""
    config = SpikformerConfig(
        image_size=128,
        in_channels=2,
        classes=classes,
        dim=256,
        depth=2,
        heads=16,
        pools=(True, True, True, True),
        steps=16,
        dialect="dvs",
        events=True,
        norms=False,
    )
    return _spikformer(config, f"Spikformer-2-256 for {data}, frames of 2x128x128, T=16 (published with 10 and 16)")


_SMALL_QKFORMER = QKFormerConfig(
    image_size=28, in_channels=1, dims=(32, 64), depths=(1, 2), heads=(8, 8), pools=(True, True)
)
_SMALL_SPIKFORMER = SpikformerConfig(image_size=28, in_channels=1, dim=64, depth=2, heads=8)

qkformer_mnist = _qkformer(_SMALL_QKFORMER, "QKFormer for 28x28 grey images: 32 and 64 channels, T=4")
qkformer_fashion_mnist = _qkformer(_SMALL_QKFORMER, "the network of qkformer_mnist, for Fashion-MNIST")
spikformer_mnist = _spikformer(_SMALL_SPIKFORMER, "Spikformer-2-64 for 28x28 grey images, T=4")

qkformer_10_384 = _hst(384)
qkformer_10_512 = _hst(512)
qkformer_10_768 = _hst(768)
qkformer_10_768_288 = _hst(768, pixels=288)
qkformer_10_768_384 = _hst(768, pixels=384)
qkformer_cifar10 = _qkformer(QKFormerConfig(), "QKFormer HST-4-384 for CIFAR10, 32x32 RGB, T=4")
qkformer_cifar100 = _qkformer(QKFormerConfig(classes=100), "QKFormer HST-4-384 for CIFAR100, 32x32 RGB, T=4")
qkformer_cifar10dvs = _events_qkformer(10, 1, "CIFAR10-DVS")
qkformer_dvs128 = _events_qkformer(11, 4, "DVS128 Gesture")

spikformer_8_384 = _imagenet_spikformer(8, 384)
spikformer_8_512 = _imagenet_spikformer(8, 512)
spikformer_10_512 = _imagenet_spikformer(10, 512)
spikformer_8_768 = _imagenet_spikformer(8, 768)
spikformer_cifar10 = _cifar_spikformer(4, 384, classes=10)
spikformer_cifar10_2_384 = _cifar_spikformer(2, 384, classes=10)
spikformer_cifar10_4_256 = _cifar_spikformer(4, 256, classes=10)
spikformer_cifar100 = _cifar_spikformer(4, 384, classes=100)
spikformer_cifar100_2_384 = _cifar_spikformer(2, 384, classes=100)
spikformer_cifar100_4_256 = _cifar_spikformer(4, 256, classes=100)
spikformer_cifar10dvs = _events_spikformer(10, "CIFAR10-DVS")
spikformer_dvs128 = _events_spikformer(11, "DVS128 Gesture")

FACTORIES: Mapping[str, Factory[QKFormer] | Factory[Spikformer]] = MappingProxyType(
    {name: made for name, made in tuple(globals().items()) if isinstance(made, Factory)}
)
