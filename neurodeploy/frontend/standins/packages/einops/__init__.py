"""Stand-in for einops: model files import it and seldom use it; what they do use asks for the package itself."""

from __future__ import annotations

from typing import Any, NoReturn


def rearrange(*arguments: Any, **options: Any) -> NoReturn:
    """Raise ImportError."""
    raise ImportError("this model uses einops, which is not installed", name="einops")


reduce = repeat = rearrange
