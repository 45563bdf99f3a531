"""Files that are whole or absent: bounded reads and atomic writes."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from neurodeploy.errors import Finding, InvalidFileError, UsageError

TEMPORARY = ".neurodeploy-tmp"  # suffix of what a killed write may leave beside the target


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes. Raises InvalidFileError."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _unreadable(path, "a regular file", "a folder, device or pipe")
        if status.st_size > limit:
            raise _unreadable(path, f"at most {limit} bytes", f"{status.st_size} bytes")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, "a file that can be read", _reason(error)) from error
    if len(data) > limit:
        raise _unreadable(path, f"at most {limit} bytes", "a file that grows")
    return data


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _unreadable(path: Path, need: str, have: str) -> InvalidFileError:
    return InvalidFileError(Finding("ND-A002", "", need, have, "check the path", str(path)))


def write_atomic(path: Path, data: bytes) -> None:
    """Put the bytes at the path: afterwards it holds all of them, or what it held before.

    The bytes go to a file of a unique name in the same folder, to the disk, then to the path by a rename. A failed
    write removes that file; a killed one may leave it, with the suffix TEMPORARY. A file that is replaced keeps its
    mode, a new one has what the umask leaves; a link stays, and its file is replaced. What exists and is no regular
    file (a device, a pipe, a folder) is refused. Raises UsageError.
    """
    try:
        require_regular(path)
        target = path.resolve()
        mode = _mode(target)
        handle, name = tempfile.mkstemp(TEMPORARY, ".", target.parent)
        try:
            _fill(handle, data, mode)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
    except (OSError, ValueError) as error:
        raise _unwritable(path, _reason(error)) from error


def require_regular(path: Path) -> None:
    """Raise UsageError where a path exists and is no regular file: a rename would put one in place of a device."""
    try:
        other = path.exists() and not path.is_file()
    except (OSError, ValueError) as error:
        raise _unwritable(path, _reason(error)) from error
    if other:
        raise _unwritable(path, "a folder, device, pipe or socket")


def _unwritable(path: Path, have: str) -> UsageError:
    return UsageError(Finding("ND-A011", "", "a file that can be written", have, "choose another path", str(path)))


def _fill(handle: int, data: bytes, mode: int) -> None:
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(handle, mode)
        os.fsync(handle)


def _mode(target: Path) -> int:
    return target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
