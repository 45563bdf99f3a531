"""Stand-in for timm: what model files of spiking transformers take from it."""

from .models import create_model

__all__ = ["create_model"]
