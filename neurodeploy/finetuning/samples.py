"""What a run learns from: samples with labels and a teacher's logits, and those held out that choose the best."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from numbers import Real
from reprlib import repr as short

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, UsageError
from neurodeploy.finetuning.recipe import Recipe
from neurodeploy.images import Images

Labels = NDArray[np.int64]
Logits = NDArray[np.float32]
MOST_HELD_OUT = 5000


@dataclass(frozen=True)
class Samples:
    """Images float32 [N, C, H, W] or event frames [N, T, C, H, W], labels int64 [N], and logits of a teacher.

    teacher: float32 [N, classes], or None.
    """

    images: Images
    labels: Labels
    teacher: Logits | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: NDArray[np.intp]) -> Samples:
        """Some of them."""
        teacher = None if self.teacher is None else self.teacher[rows]
        return Samples(self.images[rows], self.labels[rows], teacher)

    def split(self, share: object, seed: int) -> tuple[Samples, Samples]:
        """All but a share of them, drawn by the seed, and that share: at most MOST_HELD_OUT. Raises UsageError."""
        rest, held = divided(len(self), share, seed)
        return self.part(rest), self.part(held)

    def seen(self, recipe: Recipe) -> NDArray[np.intp]:
        """The rows that a run of the recipe looks at, ascending."""
        order = recipe.order(len(self), 0, recipe.steps(len(self)))
        found = np.zeros(len(self), np.bool_)
        for index in order:
            found[index.numpy()] = True
        return np.flatnonzero(found)

    def taught(self, rows: NDArray[np.intp], logits: Logits) -> Samples:
        """With a teacher's logits for these rows; the others are not looked at."""
        every = np.zeros((len(self), logits.shape[1]), np.float32)
        every[rows] = logits
        return replace(self, teacher=every)

    def digest(self) -> str:
        """Number and checksum of images and labels: whether they are those of before."""
        pixels, labels = zlib.crc32(self.images.data), zlib.crc32(self.labels.tobytes())
        return f"{len(self)} samples {pixels:08x} {labels:08x}"


def divided(count: int, share: object, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows to train on and those held out, as `Samples.split` says, ascending. Raises UsageError."""
    part = float(share) if isinstance(share, Real) else 0.0
    held = min(MOST_HELD_OUT, max(1, round(part * count))) if 0 < part < 1 else 0
    if not 0 < held < count:
        need, have = "a share between 0 and 1 that leaves samples to train on", f"{short(share)} of {count}"
        raise UsageError(Finding("ND-S011", "held_out", need, have, "give a share such as 0.05, or (images, labels)"))
    drawn = np.random.default_rng(seed).permutation(count)
    return np.sort(drawn[held:]), np.sort(drawn[:held])


def check_teacher(teacher: object, samples: int, classes: int) -> Logits:
    """A teacher's logits as float32 [N, classes]. Raises UsageError."""
    try:
        given = np.asarray(teacher)
    except (TypeError, ValueError, RuntimeError):  # rows of different length, a tensor with a gradient
        given = np.empty(0)
    masked = np.ma.is_masked(teacher)
    number = given.shape == (samples, classes) and given.dtype.kind in "fiu" and not masked
    with np.errstate(over="ignore"):  # infinite in float32, and refused
        logits = given.astype(np.float32) if number else np.full(1, np.nan, np.float32)
    if not np.isfinite(logits).all():
        need = f"logits [{samples}, {classes}] finite in float32"
        have = "masked values" if masked else f"dtype {given.dtype}, shape {list(given.shape)}"
        raise UsageError(Finding("ND-S012", "teacher", need, have, "pass one row a sample, in the order of images"))
    return logits
