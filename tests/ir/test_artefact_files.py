"""Writes are whole or nothing: failures, kills and two writers at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurodeploy.errors import UsageError
from neurodeploy.ir.artefact import files, load, save
from neurodeploy.ir.artefact.files import TEMPORARY, write_atomic
from neurodeploy.ir.text import to_text
from tests.ir.graphs import small


def test_target_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    save(small(), path)
    assert to_text(load(path)) == to_text(small())
    assert list(tmp_path.iterdir()) == [path]


def test_file_has_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    path, mask = tmp_path / "model.onnx", os.umask(0o027)
    try:
        write_atomic(path, b"x")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.touch()
    for mode in (0o600, 0o664):
        path.chmod(mode)
        write_atomic(path, b"x")
        assert path.stat().st_mode & 0o777 == mode


def test_link_keeps_pointing_at_its_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "model.onnx")
    write_atomic(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "model.onnx").read_bytes() == b"x"


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_regular_file_stays(linked: bool, tmp_path: Path) -> None:
    """A pipe stands for all: root's write to a device would take it away from the whole machine."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(UsageError, match=r"(?s)ND-A011.*device"):
        write_atomic(tmp_path / ("link" if linked else "pipe"), b"x")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("step", ["fsync", "fchmod"])
def test_failed_write_leaves_what_was_there(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(UsageError, match=r"(?s)ND-A011.*No space left"):
        write_atomic(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "model.onnx", b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["missing/model.onnx", "folder", "a\0b", "x" * 300])
def test_path_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="ND-A011"):
        write_atomic(tmp_path / name, b"x")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="Permission denied"):
        write_atomic(tmp_path / "model.onnx", b"x")
    tmp_path.chmod(0o700)


WRITER = """
import os, sys
from pathlib import Path
from neurodeploy.ir.artefact import files
path, letter, times, hang = Path(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3]), sys.argv[4]
if hang:
    def wait(handle):
        print("written", flush=True)
        sys.stdin.read()
    setattr(os, hang, wait)
for _ in range(times):
    files.write_atomic(path, letter * 300_000)
"""


def writer(path: Path, letter: str, times: int, hang: str = "") -> subprocess.Popen[str]:
    """Another process that writes; with `hang` it stops where that function of os is called."""
    command = [sys.executable, "-c", WRITER, str(path), letter, str(times), hang]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_killed_write_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    with writer(path, "a", 1, hang="fsync") as process:
        assert process.stdout and process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"before"
    assert [p.suffix for p in tmp_path.iterdir() if p != path] == [TEMPORARY]
    write_atomic(path, b"after")
    assert path.read_bytes() == b"after"


def test_two_writers_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_atomic(path, b"a" * 300_000)
    writers = [writer(path, letter, 25) for letter in "ab"]
    deadline = time.monotonic() + 60
    while any(process.poll() is None for process in writers) and time.monotonic() < deadline:
        data = path.read_bytes()
        assert len(data) == 300_000 and len(set(data)) == 1
    assert [process.communicate() and process.returncode for process in writers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]
