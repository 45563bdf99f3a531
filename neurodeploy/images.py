"""The check that every backend makes of its images or event frames, and the slices it runs them in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, LimitExceededError, UsageError

Images = NDArray[np.float32]
Shape = tuple[int, ...]
NUMBERS = "biuf"  # kinds of dtype; spikes often come as booleans
EVENTS = 4  # axes of one sample of event frames, [T, C, H, W]


def check_images(images: object, shape: Shape) -> Images:
    """The images as float32 [N, *shape], C order; the caller's array is left as it is.

    shape: of one sample: [C, H, W] of an image, [T, C, H, W] of event frames.
    Raises UsageError (all findings at once) for another type or shape, masked values, an empty batch, NaN or infinity,
    LimitExceededError where memory does not suffice for a copy in float32.
    """
    try:
        array = np.asarray(images)
    except (TypeError, ValueError, RuntimeError) as error:  # rows of different length, a tensor with a gradient
        raise UsageError(_finding("ND-B002", "a NumPy array of numbers", str(error), "pass a float32 array")) from error
    dims = ", ".join(map(str, shape))
    if array.dtype.kind not in NUMBERS or np.ma.is_masked(images):
        have = f"dtype {array.dtype}" if array.dtype.kind not in NUMBERS else "masked values"
        raise UsageError(_finding("ND-B002", "a NumPy array of numbers", have, "pass a float32 array"))
    findings = []
    kind = "event frames" if len(shape) == EVENTS else "images"
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        advice = (_frames_advice if len(shape) == EVENTS else _image_advice)(array.shape, shape)
        findings.append(_finding("ND-B003", f"{kind} [N, {dims}]", f"shape {list(array.shape)}", advice))
    elif array.shape[0] == 0:
        findings.append(_finding("ND-B004", "at least one sample", "an empty array", f"pass {kind}"))
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite from here on, and named below
            pixels = np.ascontiguousarray(array, dtype=np.float32)
        bad = int(np.count_nonzero(~np.isfinite(pixels)))
    except MemoryError as error:
        if findings:
            raise UsageError(findings) from error
        need, have = f"memory for {array.size * 4:,} bytes of {kind}, and to check them", "none left"
        raise LimitExceededError(_finding("ND-B012", need, have, "pass them in parts")) from error
    if bad:
        findings.append(_finding("ND-B005", "finite values", f"{bad} NaN or infinite in float32", f"clean the {kind}"))
    if findings:
        raise UsageError(findings)
    return pixels


def check_calibration(images: object, shape: Shape) -> Images:
    """The calibration images; what is wrong with them is said of them. Raises UsageError as `check_images` does."""
    try:
        return check_images(images, shape)
    except UsageError as error:
        raise UsageError(replace(finding, layer="calibration") for finding in error.findings) from None


def example_shape(example: object) -> Shape:
    """[C, H, W] of an example [N, C, H, W], [T, C, H, W] of event frames [N, T, C, H, W]. Raises UsageError."""
    shape = tuple(int(n) for n in getattr(example, "shape", ()))
    if len(shape) in (EVENTS, EVENTS + 1):
        return shape[1:]
    need = "one image [1, C, H, W], or event frames [1, T, C, H, W], as an array or a tensor"
    have = f"{type(example).__name__} of shape {list(shape)}"
    raise UsageError(Finding("ND-C023", "example_input", need, have, "pass images[:1]"))


def spread(samples: NDArray[Any], count: int) -> NDArray[Any]:
    """So many of the samples, or all where there are fewer, evenly spread, for data is often sorted by class."""
    count = min(count, len(samples))
    return samples[np.arange(count) * len(samples) // max(1, count)]


def slices(images: Images, batch: int) -> Iterator[tuple[slice, Images]]:
    """The images in slices of at most `batch` samples, so that memory is bounded whatever their number.

    Raises UsageError for a batch of less than one sample.
    """
    if batch < 1:
        raise UsageError(Finding("ND-B006", "batch", "at least one sample at a time", str(batch), "leave batch out"))
    for start in range(0, len(images), batch):
        part = slice(start, min(start + batch, len(images)))
        yield part, images[part]


def _image_advice(found: Shape, wanted: Shape) -> str:
    """What to do with an array of another shape, where the network takes one image that stays for all its steps."""
    if len(wanted) == 3 and found[1:] == (*wanted[1:], wanted[0]):
        return "these are [N, H, W, C]: pass images.transpose(0, 3, 1, 2)"
    if found == wanted:
        return "this is one image: pass image[None]"
    if len(found) == EVENTS + 1:
        return "this network takes one image that stays for all its steps, no event frames [N, T, C, H, W]"
    return "pass images of the size that the network was traced with"


def _frames_advice(found: Shape, wanted: Shape) -> str:
    """The same where the network takes an event frame for each of its steps, wanted: [T, C, H, W]."""
    steps, *frame = wanted
    dims = ", ".join(map(str, wanted))
    if found == wanted:
        return "this is one sample: pass frames[None]"
    if len(found) == EVENTS + 1 and found[2:] == wanted[1:]:
        swapped = "; or is time the first axis? then pass frames.swapaxes(0, 1)" if found[0] == steps else ""
        return f"T {steps} needed, {found[1]} found: bin the events into {steps} frames{swapped}"
    if found[1:] == (steps, *frame[1:], frame[0]):
        return "these are [N, T, H, W, C]: pass frames.transpose(0, 1, 4, 2, 3)"
    if found[1:] == wanted[1:]:
        return f"the time axis is missing: bin the events of each sample into {steps} frames, [N, {dims}]"
    return "pass event frames of the size that the network was traced with"


def _finding(code: str, need: str, have: str, mend: str) -> Finding:
    return Finding(code, "images", need, have, mend)
