"""The registry of model factories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Factory = Callable[..., Any]
_FACTORIES: dict[str, Factory] = {}


def register_model(factory: Factory) -> Factory:
    """Keep a factory under its name."""
    _FACTORIES[factory.__name__] = factory
    return factory


def create_model(model_name: str, pretrained: bool = False, **options: Any) -> Any:
    """Call a factory by name, without the options that are None. Raises RuntimeError for an unknown name."""
    if model_name not in _FACTORIES:
        raise RuntimeError(f"no model {model_name} is registered; timm's own models need timm (pip install timm)")
    given = {name: value for name, value in options.items() if value is not None}
    return _FACTORIES[model_name](pretrained=pretrained, **given)
