"""Files that commands read: images and labels. Nothing in them is executed."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from neurodeploy.errors import Finding, InvalidFileError, LimitExceededError, UsageError
from neurodeploy.images import NUMBERS

Array = NDArray[Any]
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}  # 3.0 is for records alone
SAMPLES = ("images", "frames")  # SpikingJelly calls event frames `frames`
NAMES = (*SAMPLES, "labels")
MAX_BYTES = 4 << 30  # of the arrays in a file, unpacked: a million digits in float32 are 2.9 GiB
# What numpy.load and zipfile raise on damaged bytes: RuntimeError where a flag says that a member is encrypted.
DAMAGED = (
    *(EOFError, LookupError, NotImplementedError, RuntimeError, SyntaxError, ValueError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


class Data(NamedTuple):
    """Images or event frames, and labels where the file has them."""

    images: Array
    labels: Array | None


def load_data(images: Path, limit: int | None = None, labels: Path | None = None) -> Data:
    """The first `limit` samples of a .npy or .npz file, with the labels of the same .npz file or of one of their own.

    Raises InvalidFileError for a missing, damaged or foreign file, LimitExceededError for one of over MAX_BYTES.
    """
    arrays = _arrays(images)
    held = [arrays[name] for name in SAMPLES if name in arrays]
    if len(held) != 1:  # of two, neither is surely meant
        need = "an array `images` or `frames`" + (", not both" if held else "")
        raise _invalid(images, need, f"arrays {', '.join(arrays) or 'none'}")
    (samples,) = held
    found = arrays.get("labels")
    if labels is not None:
        own = _arrays(labels)
        found = own.get("labels", own.get("images"))
        if found is None:
            raise _invalid(labels, "an array `labels`", f"arrays {', '.join(own) or 'none'}")
    data = Data(np.asarray(samples[:limit]), None if found is None else np.asarray(found[:limit]))
    _require_numbers(images, data.images)
    return data


def spread_data(data: Data, limit: int | None) -> Data:
    """So many samples with their labels, evenly spread: the first of a sorted file are of one class.

    All where there are not as many labels as samples, which is refused by what reads them.
    """
    from neurodeploy.images import spread

    images, labels = data
    if limit is None or (labels is not None and labels.shape[:1] != (len(images),)):
        return data
    return Data(spread(images, limit), None if labels is None else spread(labels, limit))


def require_labels(data: Data, option: str = "") -> Array:
    """The labels. option: that whose file has to hold them, where --labels is none. Raises UsageError for none."""
    if data.labels is None:
        mend = "put `labels` beside `images` in an .npz file: numpy.savez(file, images=..., labels=...)"
        mend = mend if option else "give --labels FILE.npy, or put `labels` beside `images` in the .npz file"
        raise UsageError(Finding("ND-C004", option or "labels", "labels of the images", "none", mend))
    return data.labels


def _arrays(path: Path) -> dict[str, Array]:
    """What a file holds: name -> array; the array of a .npy file is called `images`."""
    try:
        if path.exists() and not path.is_file():
            raise _invalid(path, "a regular file", "a folder, device or pipe")
        with path.open("rb") as file:
            size = path.stat().st_size
            _require_memory(path, size)
            if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
                file.seek(0)
                _require_whole(path, file, size)
            file.seek(0)
            held = np.load(file, allow_pickle=False)
            if not isinstance(held, np.ndarray):
                return _unpacked(path, held)
            return {"images": np.atleast_1d(held)}
    except OSError as error:
        raise _invalid(path, "a file that can be read", error.strerror or str(error)) from error
    except DAMAGED as error:
        have = f"{type(error).__name__}: {error}".splitlines()[0]
        raise _invalid(path, "NumPy arrays without pickled objects", have) from error


def _unpacked(path: Path, held: Any) -> dict[str, Array]:
    """The arrays of a .npz file, which may be a thousand times larger than the file."""
    wanted = [name for name in NAMES if name in held]
    if not wanted:
        raise _invalid(path, "an array `images` or `frames`", f"arrays {', '.join(held.files) or 'none'}")
    entries = [entry for entry in held.zip.infolist() if entry.filename.removesuffix(".npy") in wanted]
    _require_memory(path, sum(entry.file_size for entry in entries))
    for entry in entries:
        with held.zip.open(entry) as member:
            _require_whole(path, member, entry.file_size)
    return {name: np.atleast_1d(held[name]) for name in wanted}


def _require_whole(path: Path, file: IO[bytes], size: int) -> None:
    """Refuse an array that claims more bytes than there are, before numpy makes room for it."""
    version = npy.read_magic(file)
    shape, _, dtype = _HEADERS[version](file)
    left = size - file.tell()
    if not dtype.hasobject and prod(shape) * dtype.itemsize > left:
        raise _invalid(path, f"{shape} of {dtype}", f"{left:,} bytes: the file has been cut short")


def _require_memory(path: Path, size: int) -> None:
    if size > MAX_BYTES:
        need, have = f"arrays of at most {MAX_BYTES:,} bytes", f"{size:,} bytes"
        raise LimitExceededError(Finding("ND-C007", "", need, have, "split it into several files", str(path)))


def _require_numbers(path: Path, array: Array) -> None:
    if array.dtype.kind not in NUMBERS:
        raise _invalid(path, "an array of numbers", f"dtype {array.dtype}")


def _invalid(path: Path, need: str, have: str) -> InvalidFileError:
    mend = "write it with numpy.save, or numpy.savez(file, images=..., labels=...)"
    return InvalidFileError(Finding("ND-C005", "", need, have, mend, str(path)))
