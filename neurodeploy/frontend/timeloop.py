"""Time given by the caller, for a model without a time axis of its own: one meaning for the trace and the float run.

A multi-step model takes the sequence [T, N, C, H, W]. A single-step model takes one step [N, C, H, W]; it is called T
times, its membranes run on, and its T results are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neurodeploy.errors import Finding, UsageError
from neurodeploy.frontend.neurons import looks_like_neuron, takes_single_steps

_EVENTS = 5  # rank of [N, T, C, H, W]


@dataclass(frozen=True)
class TimeLoop:
    """T time steps of a model whose neurons take them one by one (`single`) or all at once."""

    steps: int
    single: bool

    @property
    def kind(self) -> str:
        """How the model takes its time, for metadata: "single-step" or "multi-step"."""
        return "single-step" if self.single else "multi-step"

    def sequence(self, x: torch.Tensor) -> torch.Tensor:
        """[T, N, C, H, W] of images [N, C, H, W], each repeated, or of event frames [N, T, C, H, W]."""
        return x.transpose(0, 1) if x.ndim == _EVENTS else x.unsqueeze(0).repeat(self.steps, *[1] * x.ndim)

    def traced(self, model: nn.Module, x: torch.Tensor) -> Any:
        """What forward gives for the whole sequence; of a single-step model, for one step `frame(x)`."""
        return model(x if self.single else self.sequence(x))

    def frame(self, x: torch.Tensor) -> torch.Tensor:
        """What forward is traced with, for images or event frames: one step [N, C, H, W] of a single-step model."""
        return x[:, 0] if self.single and x.ndim == _EVENTS else x

    def run(self, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """The model's own result, step after step; mean over T of a single-step model."""
        sequence = self.sequence(x)
        if not self.single:
            return model(sequence)  # type: ignore[no-any-return]
        return torch.stack([model(frames) for frames in sequence]).mean(0)


def time_loop(model: nn.Module, steps: Any, shape: tuple[int, ...]) -> TimeLoop | None:
    """The loop that `steps` asks for on samples of a shape; None for a model that makes its time steps itself.

    Raises UsageError for steps that are no positive integer or not as many as the event frames [N, T, C, H, W].
    """
    if steps is None:
        return None
    mend = "give the time steps of the trained model"
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise UsageError(Finding("ND-F012", "steps", "a positive number of time steps", repr(steps), mend))
    if len(shape) == _EVENTS and shape[1] != steps:
        need, have = f"{steps} event frames, one a time step", f"{shape[1]} of them, shape {list(shape)}"
        raise UsageError(Finding("ND-F012", "steps", need, have, "give as many steps as a sample has frames"))
    neurons = [module for module in model.modules() if looks_like_neuron(module)]
    return TimeLoop(steps, bool(neurons) and all(map(takes_single_steps, neurons)))
