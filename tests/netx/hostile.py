"""HDF5 files that no SLAYER writes: each builder makes one, and the words that the refusal has to say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.netx.files import CUBA

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
    file.create_dataset("layer/0/weight", shape=(1 << 11, 1 << 11), dtype="i1")


def beyond_memory(file: Any, folder: Path) -> None:
    file.create_dataset("layer/0/weight", shape=(1 << 20, 1 << 20), dtype="f8", chunks=(1, 8))


def bomb(file: Any, folder: Path) -> None:
    for place in range(5):
        file.create_dataset(f"layer/{place}/weight", data=np.zeros((1 << 12, 1 << 12), np.int8), compression="gzip")


def wide(file: Any, folder: Path) -> None:
    file.create_dataset("layer/0/weight", data=np.zeros((1 << 13, 1 << 13), np.int8), compression="gzip")


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


def dilated(file: Any, folder: Path) -> None:
    """Of 131,072 weights, and a thousand million zeros between them."""
    _input(file, (512, 180, 180))
    _windows(file, "conv", (64, 1, 1), np.ones((64, 512, 2, 2), np.int8), dilation=[179, 179])


def pooled(file: Any, folder: Path) -> None:
    """A window of twice the image, which SLAYER pads to that size."""
    _input(file, (64, 500, 500))
    _windows(file, "pool", (64, 1, 1), np.ones((1, 1, 1000, 1000), np.int8), stride=[1000, 1000])


def _input(file: Any, shape: tuple[int, ...]) -> None:
    file["layer/0/type"], file["layer/0/shape"] = "input", shape


def _windows(file: Any, kind: str, shape: tuple[int, ...], weight: Any, **changes: list[int]) -> None:
    layer = file["layer/1"]
    layer.create_dataset("weight", data=weight, compression="gzip")
    window = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    for name, value in {"type": kind, "shape": shape, **window, **changes}.items():
        layer[name] = value
    for name, value in CUBA.items():
        layer[f"neuron/{name}"] = value


SMALL = (dilated, pooled)  # files of some KB that can be read, and would become weights of GiB
CORPUS: tuple[tuple[Build, str], ...] = (
    (soft_link, "SoftLink"),
    (external_link, "ExternalLink"),
    (cycle, "another path leads to"),
    (two_names, "another path leads to"),
    (never_written, "0 bytes in the file"),
    (beyond_memory, "values declared"),
    (bomb, "bytes declared"),
    (wide, "values declared"),
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
