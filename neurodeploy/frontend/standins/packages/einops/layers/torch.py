"""Layers of einops for PyTorch."""

from __future__ import annotations

from typing import Any

from .. import rearrange


class Rearrange:
    """Raises ImportError when it is built."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        rearrange()


Reduce = Rearrange
