"""Models by name, as timm makes them."""

from .registry import create_model, register_model

__all__ = ["create_model", "register_model"]
