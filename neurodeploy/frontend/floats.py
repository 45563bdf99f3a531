"""Runs of the float model, for accuracies to compare with: each sample from membranes at rest, the model untouched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neurodeploy.frontend.coupling import FAILURES
from neurodeploy.frontend.neurons import looks_like_neuron
from neurodeploy.frontend.state import reset, rested
from neurodeploy.frontend.timeloop import TimeLoop, time_loop
from neurodeploy.images import Images, Shape, slices

BATCH = 100
FEW = 10  # samples, as many as the runs take that tell whether a batch is mixed
LOOKED_AT = 64  # samples among which the ones are chosen that show whether a batch is mixed
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
    over [T*B, ...], attention over the tokens of all samples), which three short runs show: then one by one, which is
    what the deployed network computes, with a warning of the logger `neurodeploy`. Few samples always run one by one.
    steps: T, for a model that makes no time steps itself, as for `trace`. Logits of each step are averaged over T.
    as_written: in batches of exactly `batch` (the last one may be smaller), samples mixed where the model mixes them.
    Training flags, membranes and all other attributes are restored. progress(done, total) follows each batch.
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
    if batch == 1 or len(images) <= FEW:
        return 1
    one, _ = _watched(model, images[:1], loop)
    batch = min(batch, max(1, MEMORY // (4 * max((prod(shape) for shape in one), default=1))))
    return 1 if batch > 1 and _mixes(model, images, one, loop) else batch


def _mixes(model: nn.Module, images: Images, one: list[Shape], loop: TimeLoop | None) -> bool:
    """Whether a sample's logits depend on what it shares a batch with; said in a warning.

    Two samples run around a third that is replaced: alone in their rows, they give the same floats to the last bit,
    for the shapes and with them the order of every sum stay. Lone runs would differ by rounding, which flips spikes.
    one: the shapes that the neurons read of a lone sample.
    """
    first, second = _liveliest(images)
    inverse = second.max() + second.min() - second  # as unlike as the range of the values allows
    batches = [np.stack((first, between, first)) for between in (second, inverse, np.zeros_like(first))]
    try:
        runs = [_watched(model, beside, loop) for beside in batches]
    except FAILURES:  # a model written for one sample at a time
        runs = []
    single = loop is not None and loop.single  # such neurons have no time axis, and run along no axis
    alike = bool(runs) and (single or [shape[0] for shape in runs[0][0]] == [shape[0] for shape in one])
    if alike and all(np.array_equal(runs[0][1][::2], logits[::2], equal_nan=True) for _, logits in runs):
        return False
    say = logging.getLogger("neurodeploy").warning
    say("the float model mixes the samples of a batch: they run one by one, as they are deployed, which takes longer")
    return True


def _liveliest(images: Images) -> tuple[Images, Images]:
    """Two samples with much in them: an empty one hides what it could do to another."""
    some = images[:: -(-len(images) // LOOKED_AT)]
    order = np.argsort(some.reshape(len(some), -1).std(1))
    return some[order[-1]], some[order[-2]]


def _watched(model: nn.Module, images: Images, loop: TimeLoop | None) -> tuple[list[Shape], NDArray[np.float64]]:
    """The shape that each neuron reads, call by call: [T, ...], or [T * B, ...] where it runs from sample to sample.

    Beside it the logits.
    """
    shapes: list[Shape] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, arguments: shapes.extend(tuple(x.shape) for x in arguments[:1]))
        for module in model.modules()
        if looks_like_neuron(module)
    ]
    try:
        return shapes, _logits(model, images, loop)
    finally:
        for hook in hooks:
            hook.remove()


def _logits(model: nn.Module, images: Images, loop: TimeLoop | None) -> NDArray[np.float64]:
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    reset(model)
    given = torch.tensor(images, device=parameter.device, dtype=parameter.dtype)
    logits = model(given) if loop is None else loop.run(model, given)
    if logits.ndim == _EACH_STEP:
        logits = logits.mean(0)
    return np.asarray(logits.cpu().double().numpy(), dtype=np.float64)


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """The model in eval mode; training flags, membranes and all other attributes are those of before in the end."""
    with rested(model):
        model.eval()
        yield
