"""Runs of the float model, for accuracies to compare with: each sample from membranes at rest, the model untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neurodeploy.images import Images, slices

BATCH = 100
NOISE = 1e-4  # of float32 logits between batch sizes; a membrane that runs across samples changes far more


def run_float(
    model: nn.Module, images: Images, batch: int = BATCH, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.float64]:
    """Logits float64 [N, classes] of the model in eval mode for images float32 [N, ...].

    In batches, unless the model mixes the samples of a batch (a neuron over [T*B, ...]): then one by one, which is what
    the deployed network computes. Training flags and membranes are restored. progress(done, total) follows each batch.
    """
    parts = []
    with torch.no_grad(), at_rest(model):
        size = batch if _samples_stay_apart(model, images[:2]) else 1
        for part, chunk in slices(images, size):
            parts.append(_logits(model, chunk))
            if progress:
                progress(part.stop, len(images))
    return np.concatenate(parts)


def _samples_stay_apart(model: nn.Module, pair: Images) -> bool:
    """Whether the last sample's logits are the same alone as behind another."""
    return bool(np.allclose(_logits(model, pair)[-1:], _logits(model, pair[-1:]), atol=NOISE))


def _logits(model: nn.Module, images: Images) -> NDArray[np.float64]:
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    for module in _stateful(model):
        module.reset()  # type: ignore[operator]
    logits = model(torch.tensor(images, device=parameter.device, dtype=parameter.dtype))
    return np.asarray(logits.cpu().numpy(), dtype=np.float64)


def _stateful(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if callable(getattr(module, "reset", None))]


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """The model in eval mode; training flags and membranes are those of before in the end."""
    flags = [(module, module.training) for module in model.modules()]
    states: list[tuple[Any, dict[str, Any]]] = [(m, dict(getattr(m, "_memories", {}))) for m in _stateful(model)]
    try:
        model.eval()
        yield
    finally:
        for module, training in flags:
            module.training = training
        for stateful, memories in states:
            if memories:
                stateful._memories.update(memories)
