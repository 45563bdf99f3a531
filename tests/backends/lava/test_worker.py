"""However a run ends, no process, no folder and no shared memory of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.lava import backend, worker
from neurodeploy.errors import EnvironmentMissingError, LimitExceededError, UsageError
from tests.backends.lava.graphs import every_kind, images_of, slow

REPO = Path(__file__).parents[3]
CHILD = """
import sys
from neurodeploy.backends.lava import backend
from tests.backends.lava.graphs import every_kind, images_of, slow
graph = slow() if sys.argv[1] == "inprocess" else every_kind(0)
backend.run(graph, images_of(graph, 20000), runtime=sys.argv[1], progress=lambda done, total: print(done, flush=True))
"""


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All temporary folders of the test go here."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def left_over(scratch: Path) -> list[str]:
    """Folders, shared memory segments and processes that a run left, seen through its scratch folder's name."""
    found = [str(path) for path in scratch.iterdir()]
    found += [str(path) for path in Path("/dev/shm").glob("nd-lava-*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes().decode() + str((process / "cwd").readlink())
        except OSError:
            continue
        if str(scratch) in text and process.name != str(os.getpid()):
            found.append(f"process {process.name} {text}")
    return found


def assert_nothing_left(scratch: Path) -> None:
    deadline = time.monotonic() + 15
    while left := left_over(scratch):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.mark.lava
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("runtime", ["inprocess", "multiprocess"])
def test_a_killed_caller_leaves_nothing(scratch: Path, runtime: str, end: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, runtime], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        first = process.stdout.readline()
        if first:
            assert len(left_over(scratch)) >= (2 if runtime == "inprocess" else 20)  # it runs, and we would see it
        process.send_signal(end)
        _, errors = process.communicate()
    assert first, errors
    assert process.returncode != 0
    assert_nothing_left(scratch)


@pytest.mark.lava
@pytest.mark.parametrize("runtime", ["inprocess", "multiprocess"])
def test_the_time_limit(scratch: Path, runtime: backend.Runtime) -> None:
    graph = slow() if runtime == "inprocess" else every_kind(0)
    start = time.monotonic()
    with pytest.raises(LimitExceededError, match="ND-B140") as caught:
        backend.run(graph, images_of(graph, 20000), runtime=runtime, timeout=6)
    assert time.monotonic() - start < 25
    assert caught.value.exit_code == 6
    assert_nothing_left(scratch)


@pytest.mark.lava
def test_an_actor_that_dies_ends_the_run(scratch: Path) -> None:
    graph, killed = every_kind(0), list[int]()

    def kill_one(done: int, total: int) -> None:
        if done >= 3 and not killed:  # of lines that come together the last is told
            _, *actors = sorted(processes(scratch))
            os.kill(actors[-1], signal.SIGKILL)
            killed.append(actors[-1])

    with pytest.raises(LimitExceededError, match="ended early"):
        backend.run(graph, images_of(graph, 2000), runtime="multiprocess", progress=kill_one, timeout=120)
    assert_nothing_left(scratch)


def processes(scratch: Path) -> list[int]:
    return [int(line.split()[1]) for line in left_over(scratch) if line.startswith("process") and "run.py" in line]


def run_script(scratch: Path, text: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="nd-lava-"))
    (folder / "run.py").write_text(text)
    worker.execute(Path(sys.executable), [str(folder / "run.py")], folder, 20, None)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("import sys; print('error: a: b', file=sys.stderr); sys.exit(1)", LimitExceededError, "error: a: b"),
        ("import sys; print('error: no lava', file=sys.stderr); sys.exit(3)", EnvironmentMissingError, "no lava"),
        ("import sys; print('error: shape', file=sys.stderr); sys.exit(2)", UsageError, "shape"),
        ("import sys; sys.exit(4)", LimitExceededError, "memory"),
        ("import os; os.kill(os.getpid(), 9)", LimitExceededError, "memory"),
        ("import os; os.abort()", LimitExceededError, "signal 6"),
        ("import os; os.remove('stderr.txt'); os.mkfifo('stderr.txt'); os._exit(1)", LimitExceededError, "no error"),
        ("import os; os.remove('stderr.txt'); os._exit(1)", LimitExceededError, "no error"),
        ("import sys; sys.exit('x' * 9_000_000 + 'y\\nlast')", LimitExceededError, r"xy \| last"),
    ],
)
def test_a_worker_that_fails_gives_one_finding(scratch: Path, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        run_script(scratch, text)
    assert "Traceback" not in str(caught.value) and len(str(caught.value)) < 2 * worker.TAIL
    assert len(caught.value.findings) == 1  # type: ignore[attr-defined]


def test_output_without_lines_is_not_kept() -> None:
    assert len(worker._report(b"x" * 1_000_000, None)) < 1000
    assert worker._report(b"progress 1/2\nprogress 2", None) == b"progress 2"
    worker._report(b"progress 1/" + b"9" * 5000 + b"\n", lambda done, total: None)


def test_a_worker_that_closes_its_output_costs_no_time(scratch: Path) -> None:
    start = time.process_time()
    run_script(scratch, "import os, time; os.close(1); time.sleep(2); os._exit(0)")
    assert time.process_time() - start < 0.5


def test_bad_images_are_refused_before_lava_starts(scratch: Path) -> None:
    graph = every_kind(0)
    images = images_of(graph, 2)
    for bad in (images[:0], images[:, :1], np.full_like(images, np.nan)):
        with pytest.raises(UsageError):
            backend.run(graph, bad)
    with pytest.raises(UsageError, match="nobody"):
        backend.run(graph, images, ["nobody"])
    assert list(scratch.iterdir()) == []
