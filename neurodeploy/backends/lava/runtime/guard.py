"""Nothing outlives its owner: forked actors die with the main process, the main process with whoever started it."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import sys
import threading
from multiprocessing import shared_memory
from pathlib import Path

PR_SET_PDEATHSIG = 1
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
POLL_SECONDS = 1.0


def guard_forks() -> None:
    """Have every process forked from now on die with this one, and leave Ctrl-C to this one."""
    main = os.getpid()
    os.register_at_fork(after_in_child=lambda: _die_with(main))


def _die_with(main: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != main:  # it died before the request was in place
            os._exit(1)


def name_segments(token: str) -> None:
    """Start the names of shared memory segments with a token, so that they can be found after a kill."""
    names = vars(shared_memory)
    if "_SHM_NAME_PREFIX" in names:
        names["_SHM_NAME_PREFIX"] = f"/{token}_"
        names["_SHM_SAFE_NAME_LENGTH"] = len(token) + 2 + 12


def remove_segments(token: str) -> None:
    """Remove what shared memory the token names."""
    for segment in SHARED_MEMORY.glob(f"{token}_*"):
        segment.unlink(missing_ok=True)


def watch_owner(scratch: Path) -> None:
    """End this process group, its segments and its scratch folder when the owner closes our stdin or is gone."""
    threading.Thread(target=_watch, args=(os.getppid(), scratch), daemon=True).start()


def _watch(owner: int, scratch: Path) -> None:
    while os.getppid() == owner:
        ready, _, _ = select.select([0], [], [], POLL_SECONDS)
        if ready and not os.read(0, 64):
            break
    remove_segments(scratch.name)
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(os.getpgid(0), signal.SIGKILL)
