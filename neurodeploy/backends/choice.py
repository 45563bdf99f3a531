"""Which backend "auto" is."""

from __future__ import annotations

from warnings import warn


def chosen_backend(backend: str) -> str:
    """The backend itself; for "auto" native, or onnx with a RuntimeWarning where native was not built."""
    if backend != "auto":
        return backend
    from neurodeploy.backends import native

    if native.available():
        return "native"
    warn(f"{native.MISSING}; the backend onnx takes its place", RuntimeWarning, stacklevel=3)
    return "onnx"
