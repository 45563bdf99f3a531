"""One ATen call as the handlers see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from neurodeploy.frontend.axes import Value
from neurodeploy.frontend.builder import LARGEST, LEAST, Builder
from neurodeploy.frontend.neurons import Neuron
from neurodeploy.ir.graph import Source, Tensor, tensor
from neurodeploy.ir.infer import require

Values = Value | tuple[Value, ...]  # a tuple where the op has several results


@dataclass(frozen=True)
class Call:
    """One ATen call: arguments by the names of its schema, traced tensors as Value, constants as torch tensors.

    shape: of the result.  steps: T, or None as long as no time axis was seen.  neurons: by path.
    single: whether the traced tensors are of one time step, without a time axis.
    """

    arguments: Mapping[str, Any]
    shape: tuple[int, ...]
    steps: int
    neurons: Mapping[str, Neuron]
    build: Builder
    source: Source
    single: bool = False

    def value(self, name: str) -> Value:
        """A traced argument. Raises IllegalNode where it is a constant."""
        argument = self.arguments[name]
        require(isinstance(argument, Value), f"{name} computed from the image", "a constant of the model")
        return argument  # type: ignore[no-any-return]

    def flag(self, name: str) -> Any:
        """A plain argument, None where the overload has none of that name."""
        return self.arguments.get(name)

    def ints(self, name: str, rank: int) -> tuple[int, ...]:
        """An argument of one integer an axis; one integer stands for all."""
        given = self.arguments[name]
        listed = tuple(given) if isinstance(given, (list, tuple)) else (given,)
        return tuple(int(n) for n in (listed * rank if len(listed) == 1 else listed))

    def array(self, name: str) -> Tensor:
        """A constant argument as an array. Raises IllegalNode where it is computed, not finite or beyond float32.

        What is below the least number of float32 (1.4e-45) counts as zero: no threshold makes an integer of it.
        """
        constant = self.arguments[name]
        require(isinstance(constant, torch.Tensor), f"{name} a parameter or buffer", "a computed tensor")
        values = to_array(constant)
        require(bool(np.isfinite(values).all()), f"a finite {name}", "NaN or infinity")
        return within_float32(values, name) if values.dtype == np.float64 else values

    def like(self, value: Value, name: str) -> Value:
        """The result, its axes read as those of `value`."""
        return replace(value, name=name, shape=self.shape)


def to_array(constant: torch.Tensor) -> Tensor:
    """A parameter as a read-only array: float64 stays, every other float becomes float32."""
    data = constant.detach().cpu()
    wide = data if data.dtype in (torch.float32, torch.float64) else data.float()
    return tensor(wide.numpy(), wide.numpy().dtype)


def within_float32(values: Tensor, name: str) -> Tensor:
    """Parameters of a float64 model, those that float32 makes zero as zero. Raises IllegalNode beyond its largest."""
    largest = float(np.abs(values).max(initial=0))
    require(largest <= LARGEST, f"a {name} that float32 holds, at most {LARGEST:.2g}", f"{largest:.2g}")
    return tensor(np.where(np.abs(values) < LEAST, 0, values), values.dtype)


Handler = Callable[[Call], Values]


def called(handler: Handler, *names: str) -> dict[str, Handler]:
    """The handler by the names of the ops that it takes."""
    return dict.fromkeys(names, handler)
