"""The check that every backend makes of its images, and the slices it runs them in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, UsageError

Images = NDArray[np.float32]


def check_images(images: object, shape: tuple[int, ...]) -> Images:
    """The images as float32 [N, *shape], C order; the caller's array is left as it is.

    Raises UsageError (all findings at once) for another type or shape, an empty batch, NaN or infinity.
    """
    try:
        array = np.asarray(images)
    except (TypeError, ValueError, RuntimeError) as error:  # rows of different length, a tensor with a gradient
        raise UsageError(_finding("ND-B002", "a NumPy array of numbers", str(error), "pass a float32 array")) from error
    dims = ", ".join(map(str, shape))
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise UsageError(
            _finding("ND-B002", "a NumPy array of numbers", f"dtype {array.dtype}", "pass a float32 array")
        )
    findings = []
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        findings.append(
            _finding("ND-B003", f"images [N, {dims}]", f"shape {list(array.shape)}", _shape_advice(array.shape, shape))
        )
    elif array.shape[0] == 0:
        findings.append(_finding("ND-B004", "at least one image", "an empty array", "pass images"))
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite from here on, and named below
        pixels = np.ascontiguousarray(array, dtype=np.float32)
    bad = int(np.count_nonzero(~np.isfinite(pixels)))
    if bad:
        findings.append(_finding("ND-B005", "finite pixels", f"{bad} NaN or infinite in float32", "clean the images"))
    if findings:
        raise UsageError(findings)
    return pixels


def slices(images: Images, batch: int) -> Iterator[tuple[slice, Images]]:
    """The images in slices of at most `batch` samples, so that memory is bounded whatever their number.

    Raises UsageError for a batch of less than one sample.
    """
    if batch < 1:
        raise UsageError(Finding("ND-B006", "batch", "at least one sample at a time", str(batch), "leave batch out"))
    for start in range(0, len(images), batch):
        part = slice(start, min(start + batch, len(images)))
        yield part, images[part]


def _shape_advice(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if len(wanted) == 3 and found[1:] == (*wanted[1:], wanted[0]):
        return "these are [N, H, W, C]: pass images.transpose(0, 3, 1, 2)"
    if found == wanted:
        return "this is one image: pass image[None]"
    return "pass images of the size that the network was traced with"


def _finding(code: str, need: str, have: str, mend: str) -> Finding:
    return Finding(code, "images", need, have, mend)
