"""The front end: PyTorch models become canonical graphs, and checkpoints are read without running their code."""

from __future__ import annotations

from neurodeploy.frontend.checkpoint import load_checkpoint, load_into
from neurodeploy.frontend.floats import run_float
from neurodeploy.frontend.loader import load_model
from neurodeploy.frontend.tracer import trace

__all__ = ["load_checkpoint", "load_into", "load_model", "run_float", "trace"]
