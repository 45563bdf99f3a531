"""Runs of the float model, for accuracies to compare with: each sample from membranes at rest, the model untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neurodeploy.frontend.neurons import looks_like_neuron
from neurodeploy.frontend.timeloop import TimeLoop, time_loop
from neurodeploy.images import Images, slices

BATCH = 100
_EACH_STEP = 3  # rank of [T, N, classes]
MEMORY = 1 << 28  # bytes that the input of the widest neuron may take in a batch; a run needs a few times as many


def run_float(
    model: nn.Module,
    images: Images,
    batch: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
    *,
    as_written: bool = False,
    steps: int | None = None,
) -> NDArray[np.float64]:
    """Logits float64 [N, classes] of the model in eval mode for images float32 [N, ...].

    In batches of at most `batch` that a bounded memory holds, unless the model mixes the samples of a batch (a neuron
    over [T*B, ...]): then one by one, which is what the deployed network computes.
    steps: T, for a model that makes no time steps itself, as for `trace`. Logits of each step are averaged over T.
    as_written: in batches of exactly `batch` (the last one may be smaller), samples mixed where the model mixes them.
    Training flags and membranes are restored. progress(done, total) follows each batch.
    """
    parts, loop = [], time_loop(model, steps, images.shape)
    with torch.no_grad(), at_rest(model):
        for part, chunk in slices(images, batch if as_written else _apart(model, images, batch, loop)):
            parts.append(_logits(model, chunk, loop))
            if progress:
                progress(part.stop, len(images))
    return np.concatenate(parts)


def _apart(model: nn.Module, images: Images, batch: int, loop: TimeLoop | None) -> int:
    """How many samples can run at a time so that each is computed as if it were alone, and the memory holds them."""
    one, two = _neuron_inputs(model, images[:1], loop), _neuron_inputs(model, images[:2], loop)
    single = loop is not None and loop.single  # such neurons have no time axis, and run along no axis
    if not single and [shape[0] for shape in one] != [shape[0] for shape in two]:
        return 1
    widest = max((prod(shape) for shape in one), default=1) * 4
    return min(batch, max(1, MEMORY // widest))


def _neuron_inputs(model: nn.Module, images: Images, loop: TimeLoop | None) -> list[tuple[int, ...]]:
    """The shape that each neuron reads, call by call: [T, ...], or [T * B, ...] where it runs from sample to sample."""
    shapes: list[tuple[int, ...]] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, arguments: shapes.extend(tuple(x.shape) for x in arguments[:1]))
        for module in model.modules()
        if looks_like_neuron(module)
    ]
    try:
        _logits(model, images, loop)
    finally:
        for hook in hooks:
            hook.remove()
    return shapes


def _logits(model: nn.Module, images: Images, loop: TimeLoop | None) -> NDArray[np.float64]:
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    for module in _stateful(model):
        module.reset()  # type: ignore[operator]
    given = torch.tensor(images, device=parameter.device, dtype=parameter.dtype)
    logits = model(given) if loop is None else loop.run(model, given)
    if logits.ndim == _EACH_STEP:
        logits = logits.mean(0)
    return np.asarray(logits.cpu().double().numpy(), dtype=np.float64)


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
