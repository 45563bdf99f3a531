"""A small network of every form that the official code has, untrained."""

from __future__ import annotations

from collections.abc import Callable

from neurodeploy.models import QKFormer, QKFormerConfig, Spikformer, SpikformerConfig

ALL = (True, True, True, True)
_EVENTS = {"image_size": 32, "in_channels": 2, "classes": 3, "mlp_ratio": 2, "steps": 3, "events": True}
_IMAGES = {"image_size": 32, "classes": 3, "mlp_ratio": 2, "steps": 2}

FORMS: dict[str, Callable[[], QKFormer | Spikformer]] = {
    "qkformer_imagenet": lambda: QKFormer(
        QKFormerConfig(
            dims=(8, 16, 32), depths=(1, 1, 1), heads=(2, 2, 2), pools=ALL[:3], dialect="imagenet", **_IMAGES
        )
    ),
    "qkformer_cifar": lambda: QKFormer(QKFormerConfig(16, 3, 3, (8, 16, 32), (1, 1, 1), (2, 2, 2), mlp_ratio=2)),
    "qkformer_dvs": lambda: QKFormer(
        QKFormerConfig(dims=(16, 32), depths=(1, 1), heads=(4, 4), pools=ALL[:2], dialect="dvs", **_EVENTS)
    ),
    "spikformer_imagenet": lambda: Spikformer(
        SpikformerConfig(dim=16, depth=2, heads=2, pools=ALL, dialect="imagenet", norms=False, **_IMAGES)
    ),
    "spikformer_cifar": lambda: Spikformer(SpikformerConfig(16, 3, 3, 16, 1, 2, mlp_ratio=2)),
    "spikformer_dvs": lambda: Spikformer(
        SpikformerConfig(dim=16, depth=1, heads=2, pools=ALL, dialect="dvs", norms=False, **_EVENTS)
    ),
}
