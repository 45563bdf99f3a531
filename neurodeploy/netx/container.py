"""An HDF5 file as plain arrays and strings; a child process reads it, within limits of time and memory."""

from __future__ import annotations

import importlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import EnvironmentMissingError, Finding, InvalidFileError
from neurodeploy.netx import unpack

MAX_FILE = 1 << 30  # bytes
SECONDS = 120
NO_H5PY = 3  # exit code of unpack.py
AGAIN = "get the file again, or write it again with SLAYER's export_hdf5"
INSTALL = "pip install 'neurodeploy[netx]'; if h5py is there and broken, pip install --force-reinstall h5py"


@dataclass(frozen=True)
class Container:
    """What a file holds, by path from its root: groups, one-line strings, arrays of integers, bools or floats."""

    groups: frozenset[str]
    texts: Mapping[str, str]
    arrays: Mapping[str, NDArray[Any]]


def read(path: Path, python: Path | None = None) -> Container:
    """The content of an HDF5 file.  python: another one, that has h5py.

    Raises InvalidFileError with everything that is wrong: ND-L001 no readable HDF5 file, or one that HDF5 itself
    crashes on; ND-L002 links, unknown types, sizes beyond the file or the limits. EnvironmentMissingError without h5py.
    """
    _require_small(path)
    with tempfile.TemporaryFile() as answer:
        _unpack(path, answer, python or Path(sys.executable))
        answer.seek(0)
        try:
            return _parsed(path, answer)
        except (ValueError, LookupError, TypeError) as error:  # HDF5 wrote over its own process
            raise _unreadable(path, f"{type(error).__name__}: {error}") from error


def require_h5py() -> None:
    """Raise EnvironmentMissingError without h5py, or with one that cannot be imported."""
    try:
        importlib.import_module("h5py")
    except unpack.NO_IMPORT as error:
        raise _no_h5py(f"{type(error).__name__}: {error}") from error


def _no_h5py(have: str) -> EnvironmentMissingError:
    return EnvironmentMissingError(Finding("ND-L011", "", "h5py, to read and write .net files", have, INSTALL))


def _require_small(path: Path) -> None:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error), "check the path") from error
    if not stat.S_ISREG(status.st_mode):
        raise _unreadable(path, "a folder, device or pipe", "check the path")
    if status.st_size > MAX_FILE:
        raise _unreadable(path, f"{status.st_size:,} bytes, {MAX_FILE:,} at most", "a smaller network")


def _unpack(path: Path, answer: IO[bytes], python: Path) -> None:
    """Run the child. HDF5 must not load filters of its own from anywhere: the variable turns that off."""
    command = [str(python), str(Path(unpack.__file__)), str(path.absolute())]
    environ = {**os.environ, "HDF5_PLUGIN_PRELOAD": "::", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=answer, stderr=subprocess.PIPE, env=environ, timeout=SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _unreadable(path, f"HDF5 read it for more than {SECONDS} s") from error
    if done.returncode == NO_H5PY:
        raise _no_h5py(done.stderr.decode(errors="replace").strip()[-200:])
    if done.returncode:
        code = done.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise _unreadable(path, f"HDF5 crashes on it: {how}")


def _parsed(path: Path, answer: IO[bytes]) -> Container:
    head = json.loads(answer.readline(1 << 26))
    problems = [Finding("ND-L002", where, need, have, AGAIN, str(path)) for where, need, have in head["problems"]]
    if problems:
        raise InvalidFileError(problems)
    arrays = {}
    for name, kind, shape in head["arrays"]:
        dtype = np.dtype(kind)
        data = answer.read(prod(shape) * dtype.itemsize)
        arrays[name] = np.frombuffer(data, dtype).reshape(shape)
    return Container(frozenset(head["groups"]), head["texts"], arrays)


def _unreadable(path: Path, have: str, mend: str = AGAIN) -> InvalidFileError:
    return InvalidFileError(Finding("ND-L001", "", "an HDF5 file that can be read", have, mend, str(path)))
