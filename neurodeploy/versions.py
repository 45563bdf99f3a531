"""Which version of a package is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

COMPILERS = ("neurodeploy", "numpy", "onnx", "torch", "spikingjelly")  # what has a part in a compilation


def installed(package: str) -> str:
    """The version of an installed package, "" for none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def compiler_versions() -> dict[str, str]:
    """Versions of what has a part in a compilation; what is not installed is left out."""
    return {package: found for package in COMPILERS if (found := installed(package))}
