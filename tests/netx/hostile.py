"""HDF5 files that no SLAYER writes: each builder makes one, and the words that the refusal has to say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Build = Callable[[Any, Path], None]


def soft_link(file: Any, folder: Path) -> None:
    file["layer/0/weight"] = h5py.SoftLink("/layer/1/weight")


def external_link(file: Any, folder: Path) -> None:
    file["layer/0/weight"] = h5py.ExternalLink("/etc/passwd", "/")


def cycle(file: Any, folder: Path) -> None:
    file["layer/0/layer"] = file["layer"]


def two_names(file: Any, folder: Path) -> None:
    file["layer/0/weight"] = np.ones((2, 2))
    file["layer/1/weight"] = file["layer/0/weight"]


def never_written(file: Any, folder: Path) -> None:
    file.create_dataset("layer/0/weight", shape=(1 << 14, 1 << 14), dtype="i1")


def beyond_memory(file: Any, folder: Path) -> None:
    file.create_dataset("layer/0/weight", shape=(1 << 20, 1 << 20), dtype="f8", chunks=(1, 8))


def bomb(file: Any, folder: Path) -> None:
    weight = file.create_dataset(
        "layer/0/weight", shape=(1 << 11, 1 << 20), dtype="i1", chunks=(1, 1 << 20), compression="gzip"
    )
    weight[0] = np.zeros(1 << 20, np.int8)


def elsewhere(file: Any, folder: Path) -> None:
    other = folder / "raw"
    other.write_bytes(b"\0" * 64)
    file.create_dataset("layer/0/weight", shape=(8, 8), dtype="i1", external=[(str(other), 0, 64)])


def virtual(file: Any, folder: Path) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="i4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "data", shape=(4,))
    file.create_virtual_dataset("layer/0/weight", layout)


def compound(file: Any, folder: Path) -> None:
    file["layer/0/weight"] = np.zeros(3, dtype=[("a", "i4"), ("b", "f4")])


def references(file: Any, folder: Path) -> None:
    file.create_dataset("layer/0/weight", data=np.array([file["layer"].ref], dtype=h5py.ref_dtype))


def ragged(file: Any, folder: Path) -> None:
    file.create_dataset("layer/0/weight", shape=(2,), dtype=h5py.vlen_dtype(np.int32))


def no_data(file: Any, folder: Path) -> None:
    file["layer/0/weight"] = h5py.Empty("f4")


def long_text(file: Any, folder: Path) -> None:
    file["layer/0/type"] = "conv" * 1000


def many_texts(file: Any, folder: Path) -> None:
    file["layer/0/type"] = np.array([b"conv", b"dense"])


def deep(file: Any, folder: Path) -> None:
    file.create_group("layer/" + "/".join("abcdefgh"))


def odd_name(file: Any, folder: Path) -> None:
    file["layer/\x1b[31m"] = 1


def named_type(file: Any, folder: Path) -> None:
    file["layer/type"] = np.dtype("f8")


def other_filter(file: Any, folder: Path) -> None:
    file.create_dataset("layer/0/weight", data=np.ones(4096), compression="lzf")


CORPUS: tuple[tuple[Build, str], ...] = (
    (soft_link, "SoftLink"),
    (external_link, "ExternalLink"),
    (cycle, "another path leads to"),
    (two_names, "another path leads to"),
    (never_written, "0 bytes in the file"),
    (beyond_memory, "bytes declared"),
    (bomb, "bytes declared"),
    (elsewhere, "in another file"),
    (virtual, "in another file"),
    (compound, "integers, floats or a string"),
    (references, "integers, floats or a string"),
    (ragged, "integers, floats or a string"),
    (no_data, "nothing"),
    (long_text, "512 characters"),
    (many_texts, "2 strings"),
    (deep, "groups within one another"),
    (odd_name, "printable"),
    (named_type, "Datatype"),
    (other_filter, "lzf"),
)
