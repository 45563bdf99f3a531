"""The scratch folder of a run: removed at its end, or by the next run where its owner was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neurodeploy.backends.lava.runtime import guard
from neurodeploy.errors import Finding, LimitExceededError

PREFIX = "nd-lava-"
OWNER = "owner"  # file that its owner holds locked, which tells a dead owner from a living one


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for one run. Raises LimitExceededError where none can be made."""
    with on_disk():
        sweep()
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with on_disk():
            handle = _own(folder)
        try:
            yield folder
        finally:
            os.close(handle)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def on_disk() -> Iterator[None]:
    """Turn what a full or read-only disk raises into LimitExceededError."""
    try:
        yield
    except OSError as error:
        mend = "set TMPDIR to a folder that has room, or run fewer images"
        raise LimitExceededError(Finding("ND-B145", "", "room for temporary files", str(error), mend)) from error


def _own(folder: Path) -> int:
    """Lock the owner's file under another name first: a sweeper must never see it unlocked."""
    handle = os.open(folder / "new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        (folder / "new").rename(folder / OWNER)
    except BaseException:
        os.close(handle)
        raise
    return handle


def sweep() -> None:
    """Remove the scratch folders of this user whose owner is dead, with their shared memory."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        with suppress(OSError):
            if not owner.parent.is_symlink() and owner.parent.stat().st_uid == os.geteuid():
                _remove_dead(owner)


def _remove_dead(owner: Path) -> None:
    handle = os.open(owner, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        guard.remove_segments(owner.parent.name)
        shutil.rmtree(owner.parent, ignore_errors=True)
    finally:
        os.close(handle)
