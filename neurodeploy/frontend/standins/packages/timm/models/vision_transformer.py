"""The configuration that model files attach to their networks."""

from __future__ import annotations

from typing import Any


def _cfg(url: str = "", **options: Any) -> dict[str, Any]:
    """Facts about a model, which no forward reads."""
    return {"url": url, **options}
