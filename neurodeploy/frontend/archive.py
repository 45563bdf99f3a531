"""The two file formats of torch.save, read without torch.load: the zip archive, and the older chain of pickles."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from neurodeploy.frontend.unpickle import Reader, Storage, next_pickle

_MAGIC = 0x1950A86A20F9469CFC6C  # of the chain of pickles
_PROTOCOL = 1001
MAX_BYTES = 16 << 30  # a checkpoint with optimizer state of a model of a billion parameters


class DamagedError(ValueError):
    """The file is no checkpoint, or one that was cut or changed."""


def read_archive(path: Path) -> Any:
    """What torch.save wrote, with Stored in place of tensors.

    Raises DamagedError, OSError, and UnpicklingError (ForbiddenError among them) of the pickle inside.
    """
    size = path.stat().st_size
    if not (path.is_file() or path.is_dir()):  # a pipe would wait for ever
        raise DamagedError("a device or pipe")
    if size > MAX_BYTES:
        raise DamagedError(f"{size} bytes, over the limit of {MAX_BYTES}")
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start == b"PK\x03\x04":
            return _read_zip(file, size)
        if start[:1] == b"\x80":
            return _read_chain(file, size)
    raise DamagedError("neither format of torch.save" if size else "an empty file")


def _read_zip(file: BinaryIO, size: int) -> Any:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if any(e.compress_type != zipfile.ZIP_STORED for e in entries) or sum(e.file_size for e in entries) > size:
                raise DamagedError("compressed or overlapping entries, which torch.save does not write")
            home = next((e.filename[: -len("data.pkl")] for e in entries if e.filename.endswith("/data.pkl")), None)
            if home is None:
                raise DamagedError("a zip file without data.pkl")
            if f"{home}constants.pkl" in archive.namelist():
                raise DamagedError("a TorchScript program, which is code; save the state dict instead")
            if f"{home}byteorder" in archive.namelist() and archive.read(f"{home}byteorder") != b"little":
                raise DamagedError("big-endian numbers; save it on a little-endian machine")
            return _load_zip(archive, home)
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DamagedError(f"a truncated or damaged zip file ({error})") from None


def _load_zip(archive: zipfile.ZipFile, home: str) -> Any:
    known: dict[str, bytearray] = {}

    def storage(dtype: torch.dtype, key: str, count: int) -> Storage:
        if key not in known:
            known[key] = bytearray(archive.read(f"{home}data/{key}"))
        if len(known[key]) < count * dtype.itemsize:
            raise DamagedError(f"storage {key} has {len(known[key])} bytes of {count * dtype.itemsize}")
        return Storage(dtype, known[key])

    return Reader(next_pickle(io.BytesIO(archive.read(f"{home}data.pkl"))), storage).load()


def _read_chain(file: BinaryIO, size: int) -> Any:
    """Magic number, protocol and system, each a pickle; then the objects, the storages' keys, and their elements."""
    if _plain(file) != _MAGIC or _plain(file) != _PROTOCOL:
        raise DamagedError("a pickle that torch.save did not write")
    _plain(file)
    known: dict[str, Storage] = {}

    def storage(dtype: torch.dtype, key: str, count: int) -> Storage:
        held = sum(len(other.data) for other in known.values())
        if key not in known:
            if held + count * dtype.itemsize > size:
                raise DamagedError(f"storage {key} of {count} elements in a file of {size} bytes")
            known[key] = Storage(dtype, bytearray(count * dtype.itemsize))
        return known[key]

    loaded = Reader(next_pickle(file), storage).load()
    for key in _keys(_plain(file)):
        if key in known:
            _fill(file, known[key])
    return loaded


def _plain(file: BinaryIO) -> Any:
    return Reader(next_pickle(file), _no_storage).load()


def _keys(listed: object) -> list[str]:
    if not isinstance(listed, list) or not all(isinstance(key, str) for key in listed):
        raise DamagedError("no list of storages")
    return listed


def _fill(file: BinaryIO, storage: Storage) -> None:
    head = file.read(8)
    count = struct.unpack("<q", head)[0] if len(head) == 8 else -1
    if count * storage.dtype.itemsize != len(storage.data) or file.readinto(storage.data) != len(storage.data):  # type: ignore[attr-defined]
        raise DamagedError("a truncated storage")


def _no_storage(dtype: torch.dtype, key: str, count: int) -> Storage:
    raise pickle.UnpicklingError(f"a tensor {key} of {count} {dtype} where none belongs")
