"""The front end: PyTorch models become canonical graphs, and checkpoints are read without running their code."""

from __future__ import annotations

from neurodeploy.frontend.tracer import trace

__all__ = ["trace"]
