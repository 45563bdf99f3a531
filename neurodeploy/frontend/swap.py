"""Neurons swapped for a traceable op while a model is exported; the caller's model is restored in any case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from neurodeploy.errors import Finding, UnsupportedModelError
from neurodeploy.frontend.neurons import Reading, looks_like_neuron, read
from neurodeploy.frontend.timeloop import TimeLoop

_fake = getattr(torch.library, "register_fake", None) or torch.library.impl_abstract  # torch < 2.4
OP = "neurodeploy::neuron"
_STATE = ("v", "v_seq")  # what a neuron computes besides its spikes
ITEMS = 64  # numbers that a model may read from tensors while it is traced


def _shape_only(x: torch.Tensor, path: str) -> torch.Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _never_run(x: torch.Tensor, path: str) -> torch.Tensor:
    raise RuntimeError(f"the stand-in of neuron {path} is for tracing only")


torch.library.define(OP, "(Tensor x, str path) -> Tensor")
torch.library.impl(OP, "CPU")(_never_run)
_fake(OP)(_shape_only)


class Shim(nn.Module):
    """Stands where a neuron stood; reads of parameters go to the neuron, resets do not.

    Raises UnsupportedModelError where the membrane is read, which a trace has not, or an attribute of the neuron set.
    """

    def __init__(self, path: str, original: nn.Module) -> None:
        super().__init__()
        self.path = path
        self.original = (original,)  # in a tuple, so that it is no submodule

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The op that the tracer records, on [T, ...] or one step, and of the shape of its input."""
        return torch.ops.neurodeploy.neuron(x, self.path)  # type: ignore[no-any-return]

    def reset(self) -> None:
        """Nothing: the state of the caller's neuron is not the tracer's to touch."""

    def __getattr__(self, name: str) -> Any:
        if name in _STATE:
            raise self._refused(f"{name} read by forward", "probes give the membrane of a deployed network")
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["original"][0], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "training" and "original" in vars(self) and hasattr(self.original[0], name):
            raise self._refused(f"{name} set by forward", "set it where the neuron is made; reset_net starts a sample")
        super().__setattr__(name, value)

    def _refused(self, have: str, mend: str) -> UnsupportedModelError:
        need = "a neuron whose parameters and membrane are its own affair"
        return UnsupportedModelError(Finding("ND-F016", self.path, need, have, mend))


class Bounded(TorchFunctionMode):
    """Ends a trace that reads many single numbers, as `tolist` does: torch's time grows with their square."""

    def __init__(self) -> None:
        super().__init__()
        self.items = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The call itself. Raises ValueError at the first item too many."""
        self.items += func is torch.Tensor.item
        if self.items > ITEMS:
            raise ValueError(f"over {ITEMS} numbers read from tensors, by item() or tolist()")
        return func(*args, **(kwargs or {}))


class Root(nn.Module):
    """The exported module, so that the user's model has a path even where it is one layer."""

    def __init__(self, model: nn.Module, loop: TimeLoop | None) -> None:
        super().__init__()
        self.model, self.loop = model, loop

    def forward(self, x: torch.Tensor) -> Any:
        """The user's forward, for all time steps."""
        with Bounded():
            return self.model(x) if self.loop is None else self.loop.traced(self.model, x)


def _places(model: nn.Module) -> list[tuple[str, nn.Module, str]]:
    """(path, parent, attribute) of every neuron; a shared one stands there once a place, inner parts never."""
    found: list[tuple[str, nn.Module, str]] = []

    def walk(prefix: str, parent: nn.Module) -> None:
        for name, child in parent._modules.items():
            if child is None:
                continue
            path = f"{prefix}{name}"
            if looks_like_neuron(child):
                found.append((path, parent, name))
            else:
                walk(f"{path}.", child)

    walk("", model)
    return found


def read_neurons(model: nn.Module, single: bool = False) -> dict[str, Reading]:
    """Every neuron of a model, by the first path that it stands at; single: the model is run step by step."""
    readings: dict[int, Reading] = {}
    for path, parent, name in _places(model):
        child = parent._modules[name]
        if child is not None and id(child) not in readings:
            readings[id(child)] = read(path, child, parent, single)
    return {reading.path: reading for reading in readings.values()}


@contextmanager
def swapped(model: nn.Module, loop: TimeLoop | None = None) -> Iterator[Root]:
    """The model with Shims for neurons, in eval mode, wrapped; restored at the end, also after an error."""
    undo: list[Callable[[], None]] = []
    shims: dict[int, Shim] = {}
    flags = [(module, module.training) for module in model.modules()]
    try:
        for path, parent, name in _places(model):
            original = parent._modules[name]
            if original is not None and not isinstance(original, Shim):  # a block used twice is met twice
                undo.append(_restore(parent, name, original))
                parent._modules[name] = shims.setdefault(id(original), Shim(path, original))
        yield Root(model, loop).eval()
    finally:
        for restore in reversed(undo):
            restore()
        for module, training in flags:
            module.training = training


def _restore(parent: nn.Module, name: str, original: nn.Module) -> Callable[[], None]:
    def restore() -> None:
        parent._modules[name] = original

    return restore
