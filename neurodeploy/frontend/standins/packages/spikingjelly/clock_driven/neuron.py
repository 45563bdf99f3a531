"""Neurons as SpikingJelly 0.0.0.0.12 defines them in `clock_driven.neuron`, on the `torch` backend.

The arithmetic is that of the original, operation by operation: float runs give the same numbers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .surrogate import Sigmoid


class BaseNode(nn.Module):
    """A population with a membrane `v` that stays from call to call until reset()."""

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: Any = None,
        detach_reset: bool = False,
        backend: str = "torch",
        **options: Any,
    ) -> None:
        super().__init__()
        self.v_threshold, self.v_reset, self.detach_reset, self.backend = v_threshold, v_reset, detach_reset, backend
        self.surrogate_function = surrogate_function if surrogate_function is not None else Sigmoid()
        self._memories_rv: dict[str, Any] = {"v": 0.0 if v_reset is None else v_reset}
        self._memories = dict(self._memories_rv)

    @property
    def v(self) -> Any:
        """The membrane: a tensor after the first call, a number before."""
        return self._memories["v"]

    @v.setter
    def v(self, value: Any) -> None:
        self._memories["v"] = value

    def reset(self) -> None:
        """Membranes at rest."""
        self._memories.update(self._memories_rv)

    def neuronal_charge(self, x: torch.Tensor) -> None:
        """Take the input of one step."""
        raise NotImplementedError

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes of one step: charge, fire at v >= v_threshold, reset to v_reset or by v_threshold."""
        self.neuronal_charge(x)
        spike: torch.Tensor = self.surrogate_function(self.v - self.v_threshold)
        if self.v_reset is None:
            self.v = self.v - spike * self.v_threshold
        else:
            self.v = (1.0 - spike) * self.v + spike * self.v_reset
        return spike

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes of one step, or of all steps [T, ...] in the classes called MultiStep."""
        if not type(self).__name__.startswith("MultiStep"):
            return self.step(x)
        return torch.stack([self.step(frame) for frame in x])


class IFNode(BaseNode):
    """Integrate and fire: v += x."""

    def neuronal_charge(self, x: torch.Tensor) -> None:
        """v + x."""
        self.v = self.v + x


class LIFNode(BaseNode):
    """Leaky integrate and fire with the time constant tau."""

    def __init__(self, tau: float = 2.0, decay_input: bool = True, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.tau, self.decay_input = tau, decay_input

    def neuronal_charge(self, x: torch.Tensor) -> None:
        """v + (x - (v - v_reset)) / tau, or v - (v - v_reset) / tau + x without decay_input."""
        above = self.v - self.v_reset if self.v_reset else self.v
        if self.decay_input:
            self.v = self.v + (x - above) / self.tau
        elif self.v_reset:
            self.v = self.v - above / self.tau + x
        else:
            self.v = self.v * (1.0 - 1.0 / self.tau) + x


class ParametricLIFNode(BaseNode):
    """A LIF that has learned its time constant: 1 / tau = sigmoid(w)."""

    def __init__(self, init_tau: float = 2.0, decay_input: bool = True, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.decay_input = decay_input
        self.w = nn.Parameter(torch.as_tensor(-math.log(init_tau - 1.0)))

    def neuronal_charge(self, x: torch.Tensor) -> None:
        """As a LIF, with sigmoid(w) in place of 1 / tau."""
        above, decay = self.v - self.v_reset if self.v_reset else self.v, self.w.sigmoid()
        if self.decay_input:
            self.v = self.v + (x - above) * decay
        elif self.v_reset:
            self.v = self.v - above * decay + x
        else:
            self.v = self.v * (1.0 - decay) + x


class MultiStepIFNode(IFNode):
    """IF over a sequence [T, ...]."""


class MultiStepLIFNode(LIFNode):
    """LIF over a sequence [T, ...]."""


class MultiStepParametricLIFNode(ParametricLIFNode):
    """Parametric LIF over a sequence [T, ...]."""
