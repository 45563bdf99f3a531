"""Neurons whose membrane runs across the samples of a batch: their leading axis grows with the batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from neurodeploy.frontend.state import rested
from neurodeploy.frontend.swap import Root, Shim

# What forward raises where it is made for one sample.
FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def merged(root: Root, example: torch.Tensor) -> list[str]:
    """Paths of the neurons that read [T*B, ...], seen by running forward on one sample and on two, without values.

    [] for a model that takes one sample only.
    """
    try:
        one, two = (_leading(root, (count, *example.shape[1:]), example) for count in (1, 2))
    except FAILURES:
        return []
    return [path for (path, alone), (_, both) in zip(one, two, strict=False) if alone != both]


def _leading(root: Root, shape: tuple[int, ...], like: torch.Tensor) -> list[tuple[str, int]]:
    """Path and length of the leading axis of each neuron that a run calls."""
    found: list[tuple[str, int]] = []

    def note(module: nn.Module, arguments: Any) -> None:
        found.append((str(module.path), int(arguments[0].shape[0])))

    hooks = [module.register_forward_pre_hook(note) for module in root.modules() if isinstance(module, Shim)]
    try:
        with rested(root.model), torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            root(torch.empty(shape, dtype=like.dtype, device=like.device))
    finally:
        for hook in hooks:
            hook.remove()
    return found
