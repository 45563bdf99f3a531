"""The artefact's own bytes in ONNX Runtime: what runs is what is on disk."""

from neurodeploy.backends.onnx.backend import run

__all__ = ["run"]
