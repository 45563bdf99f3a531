"""Runs a network folder with the Lava Python in a process group of its own, and leaves nothing of the group behind."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from neurodeploy.backends.lava.environment import MEND, clean_environ
from neurodeploy.backends.lava.runtime import guard, main
from neurodeploy.errors import EnvironmentMissingError, Finding, LimitExceededError, NeurodeployError, UsageError
from neurodeploy.progress import Progress

PROGRESS = re.compile(rb"progress (\d{1,18})/(\d{1,18})\n")
LINE = 64  # bytes of a progress line, at most
POLL_SECONDS = 0.25
TAIL = 1 << 16  # bytes of stderr that are looked at
FEWER = "run fewer images or probe fewer layers at a time"


def execute(
    python: Path, arguments: Sequence[str], scratch: Path, timeout: float | None, progress: Progress | None
) -> None:
    """Run `python *arguments` to its end; its process group and shared memory segments are gone afterwards.

    What starts a session of its own (a user's factory that calls setsid) leaves the group, and lives on: see `_end`.

    arguments: run.py of a network folder and its options.  scratch: a temporary folder for this run alone, whose name
    marks its shared memory; the child removes it if this process dies.  timeout: seconds, None for no limit.
    Raises LimitExceededError on the time limit or where the worker died, EnvironmentMissingError without lava-nc,
    UsageError where the worker refuses its input.
    """
    errors = scratch / "stderr.txt"
    process = _start([str(python), *arguments, "--progress", "--scratch", str(scratch)], errors)
    try:
        code = _follow(process, timeout, progress)
    finally:
        _end(process, scratch)
    if code != main.OK:
        raise _failure(code, errors)


def _start(command: list[str], errors: Path) -> subprocess.Popen[bytes]:
    """Start the worker in a session of its own, in the folder of the file that takes its stderr."""
    try:
        with errors.open("wb") as stderr:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=errors.parent,
                env=clean_environ(Path(command[0])),
                start_new_session=True,
            )
    except OSError as error:
        finding = Finding("ND-B148", "", "a Lava worker that starts", f"{command[0]}: {error}", MEND)
        raise EnvironmentMissingError(finding) from error


def _follow(process: subprocess.Popen[bytes], timeout: float | None, progress: Progress | None) -> int:
    """Pass progress on until the process ends or the time is over; its exit code."""
    if process.stdout is None:
        raise ValueError("the worker's output is no pipe")
    deadline = None if timeout is None else time.monotonic() + timeout
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while process.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                need = f"a run of at most {timeout:g} s"
                raise LimitExceededError(Finding("ND-B140", "", need, "it still ran", f"allow more time, or {FEWER}"))
            if selector.select(POLL_SECONDS):
                read = os.read(process.stdout.fileno(), 1 << 16)
                if not read:  # it closed its output and lives on: there is nothing more to wake up for
                    selector.unregister(process.stdout)
                text = _report(text + read, progress)
    return process.wait()


def _report(text: bytes, progress: Progress | None) -> bytes:
    """Report the last progress line of a text; of what follows the last full line, LINE bytes stay for next time."""
    lines, _, rest = text.rpartition(b"\n")
    steps = PROGRESS.findall(lines + b"\n")
    if steps and progress is not None:
        progress(*map(int, steps[-1]))
    return rest[-LINE:]


def _end(process: subprocess.Popen[bytes], scratch: Path) -> None:
    """Kill the whole group, whatever is left of it, and free its shared memory.

    A process that left the group by setsid or setpgid is not killed, on whatever end: nothing that the kernel keeps of
    it leads back here once its parent is gone (this process is no subreaper, which would adopt its caller's children
    as well). Lava and SLAYER make none; a user's code that makes some has to end them itself.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    guard.remove_segments(scratch.name)


def _tail(errors: Path) -> str:
    """The end of what the worker wrote; nothing of a pipe that a user's code put in that place."""
    with suppress(OSError), os.fdopen(os.open(errors, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        return file.read(TAIL).decode(errors="replace")
    return ""


def _failure(code: int, errors: Path) -> NeurodeployError:
    """The error of an exit code, with the last lines that the worker wrote."""
    lines = [line for line in _tail(errors).splitlines() if line.strip()]
    last = " | ".join(lines[-3:]) or "it wrote no error"
    if code == main.NO_LAVA:
        return EnvironmentMissingError(Finding("ND-B141", "", f"lava-nc {main.LAVA_VERSION}", last, MEND))
    if code == main.BAD_REQUEST:
        return UsageError(Finding("ND-B142", "", "input that the network takes", last, "correct the call"))
    if code in (main.OUT_OF_MEMORY, -signal.SIGKILL):
        return LimitExceededError(Finding("ND-B143", "", "enough memory for the Lava worker", last, FEWER))
    ended = f"exit code {code}" if code > 0 else f"signal {-code}"
    return LimitExceededError(Finding("ND-B144", "", "a Lava worker that ends well", f"{ended}: {last}", FEWER))
