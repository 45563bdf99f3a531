"""Run the float model in batches, each one from resting membranes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neurodeploy.images import Images, slices

BATCH = 100


def run_float(
    model: nn.Module, images: Images, batch: int = BATCH, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.float64]:
    """Logits float64 [N, classes] of the model in eval mode for images float32 [N, ...].

    Every module that has `reset()` (the neurons of SpikingJelly) is reset before each batch and at the end; training
    flags are restored. progress(done, total) is called after each batch.
    """
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    parts = []
    with torch.no_grad(), _evaluating(model):
        for part, chunk in slices(images, batch):
            reset(model)
            logits = model(torch.from_numpy(chunk).to(device=parameter.device, dtype=parameter.dtype))
            parts.append(logits.cpu().numpy().astype(np.float64))
            if progress:
                progress(part.stop, len(images))
        reset(model)
    return np.concatenate(parts)


def reset(model: nn.Module) -> None:
    """Put all membranes to rest."""
    for module in model.modules():
        if callable(getattr(module, "reset", None)):
            module.reset()  # type: ignore[operator]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
