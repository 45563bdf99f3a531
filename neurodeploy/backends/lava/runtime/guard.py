"""Nothing outlives its owner: forked actors die with the main process, the main process with whoever started it."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import sys
import threading
from multiprocessing import current_process, shared_memory
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


def claim(token: str) -> None:
    """Mark what Lava's runtime makes, so that it can be found after a kill.

    Names of shared memory segments start with the token; sockets go to the working directory, the scratch folder
    (by a relative path: an absolute one may exceed the 107 characters of a socket's address).
    """
    current_process()._config["tempdir"] = "."  # type: ignore[attr-defined]
    names = vars(shared_memory)
    if "_SHM_NAME_PREFIX" in names:
        names["_SHM_NAME_PREFIX"] = f"/{token}_"
        names["_SHM_SAFE_NAME_LENGTH"] = len(token) + 2 + 12


def remove_segments(token: str) -> None:
    """Remove what shared memory the token names."""
    for segment in SHARED_MEMORY.glob(f"{token}_*"):
        segment.unlink(missing_ok=True)


class Owner:
    """The program that started this one, with a scratch folder and a pipe to our stdin that it never writes to.

    When it is gone, a thread ends this process group, its shared memory and the scratch folder.
    """

    def __init__(self, scratch: Path) -> None:
        self._pid, self._scratch, self._ending = os.getppid(), scratch, threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def end_if_gone(self, wait: float = 0.0) -> None:
        """End everything if the owner is gone, or goes within `wait` seconds."""
        ready, _, _ = select.select([0], [], [], wait)
        if not (ready and not os.read(0, 64)) and os.getppid() == self._pid:
            return
        with self._ending:  # the main thread and ours may both come here; the second would kill the first half-way
            remove_segments(self._scratch.name)
            shutil.rmtree(self._scratch, ignore_errors=True)
            os.killpg(os.getpgid(0), signal.SIGKILL)

    def _watch(self) -> None:
        while True:
            self.end_if_gone(POLL_SECONDS)
