"""Files that commands read: images and labels. Nothing in them is executed."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, InvalidFileError, UsageError

Array = NDArray[Any]
# What numpy.load and zipfile raise on damaged bytes: RuntimeError where a flag says that a member is encrypted.
DAMAGED = (
    *(EOFError, LookupError, NotImplementedError, RuntimeError, SyntaxError, ValueError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


class Data(NamedTuple):
    """Images, and labels where the file has them."""

    images: Array
    labels: Array | None


def load_data(images: Path, limit: int | None = None, labels: Path | None = None) -> Data:
    """The first `limit` images of a .npy or .npz file, with the labels of the same .npz file or of a file of their own.

    Raises InvalidFileError for a missing, damaged or foreign file.
    """
    arrays = _arrays(images)
    if "images" not in arrays:
        raise _invalid(images, "an array `images`", f"arrays {', '.join(arrays) or 'none'}")
    found = arrays.get("labels")
    if labels is not None:
        own = _arrays(labels)
        found = own.get("labels", own.get("images"))
        if found is None:
            raise _invalid(labels, "an array `labels`", f"arrays {', '.join(own) or 'none'}")
    data = Data(np.asarray(arrays["images"][:limit]), None if found is None else np.asarray(found[:limit]))
    _require_numbers(images, data.images)
    return data


def require_labels(data: Data) -> Array:
    """The labels. Raises UsageError where there are none."""
    if data.labels is None:
        mend = "give --labels FILE.npy, or put `labels` beside `images` in the .npz file"
        raise UsageError(Finding("ND-C004", "labels", "labels of the images", "none", mend))
    return data.labels


def _arrays(path: Path) -> dict[str, Array]:
    """What a file holds: name -> array; the array of a .npy file is called `images`."""
    try:
        if path.exists() and not path.is_file():
            raise _invalid(path, "a regular file", "a folder, device or pipe")
        with path.open("rb") as file:
            held = np.load(file, allow_pickle=False)
            found = {"images": held} if isinstance(held, np.ndarray) else held
            return {name: np.atleast_1d(found[name]) for name in ("images", "labels") if name in found}
    except OSError as error:
        raise _invalid(path, "a file that can be read", error.strerror or str(error)) from error
    except DAMAGED as error:
        have = f"{type(error).__name__}: {error}".splitlines()[0]
        raise _invalid(path, "NumPy arrays without pickled objects", have) from error


def _require_numbers(path: Path, array: Array) -> None:
    if array.dtype.kind not in "fiu":
        raise _invalid(path, "an array of numbers", f"dtype {array.dtype}")


def _invalid(path: Path, need: str, have: str) -> InvalidFileError:
    mend = "write it with numpy.save, or numpy.savez(file, images=..., labels=...)"
    return InvalidFileError(Finding("ND-C005", "", need, have, mend, str(path)))
