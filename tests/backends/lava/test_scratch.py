"""Temporary files of a run: swept when their owner died, named errors where the disk is full, or nobody wrote any."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.lava import backend, environment, scratch
from neurodeploy.backends.lava.runtime.record import select
from neurodeploy.backends.reference import run
from neurodeploy.errors import EnvironmentMissingError, LimitExceededError, UsageError
from neurodeploy.mapping import lower
from tests.backends.lava.graphs import every_kind, images_of
from tests.backends.lava.test_environment import fake_python
from tests.ir.graphs import renamed

OWNER = """
import sys
from neurodeploy.backends.lava.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All temporary folders of the test go here, and the Lava Python does nothing, successfully."""
    monkeypatch.setenv(environment.VARIABLE, str(fake_python(tmp_path / "bin" / "python")))
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


def test_folders_of_dead_owners_go_those_of_living_ones_stay(temporary: Path) -> None:
    started = [subprocess.Popen([sys.executable, "-c", OWNER], stdin=-1, stdout=-1, text=True) for _ in range(2)]
    folders = [Path(process.stdout.readline().strip()) for process in started if process.stdout]
    (temporary / "nd-lava-foreign").mkdir()
    dead, living = started
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    assert folders[0].is_dir()
    with scratch.scratch_folder() as own:
        scratch.sweep()
        assert set(temporary.iterdir()) == {folders[1], own, temporary / "nd-lava-foreign"}
    living.communicate("")
    assert [path.name for path in temporary.iterdir()] == ["nd-lava-foreign"]


def test_no_folder_of_another_owner_is_removed_through_a_link(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / scratch.OWNER).touch()
    (temporary / "nd-lava-link").symlink_to(tmp_path / "mine")
    scratch.sweep()
    assert (tmp_path / "mine" / scratch.OWNER).exists()


def test_a_disk_that_is_full(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    graph = every_kind(0)
    monkeypatch.setattr(backend.np, "save", full)
    with pytest.raises(LimitExceededError, match=r"(?s)ND-B145.*No space left.*TMPDIR"):
        backend.run(graph, images_of(graph, 1))
    monkeypatch.setattr(scratch.tempfile, "mkdtemp", full)
    with pytest.raises(LimitExceededError, match="ND-B145"):
        backend.run(graph, images_of(graph, 1))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("written", ["", "echo PK > out.npz; "])
def test_a_worker_that_writes_no_result(temporary: Path, written: str) -> None:
    python = Path(os.environ[environment.VARIABLE])
    python.write_text(python.read_text().replace("echo", f'[ "$1" = -c ] || {{ {written}exit 0; }}\necho'))
    graph = every_kind(0)
    with pytest.raises(EnvironmentMissingError, match=r"(?s)ND-B146.*bin/python"):
        backend.run(graph, images_of(graph, 1))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("timeout", [float("nan"), 0.0, -1.0])
def test_a_time_limit_that_is_none(temporary: Path, timeout: float) -> None:
    graph = every_kind(0)
    with pytest.raises(UsageError, match="ND-B147"):
        backend.run(graph, images_of(graph, 1), timeout=timeout)


def test_probes_with_commas_in_their_names() -> None:
    names = ("a,b", "a", "b", "[c]")
    assert select(names, "none", ["a,b", "[c]"]) == ("a,b", "[c]")
    assert select(names, "a,b") == ("a", "b")
    assert select(names, "none") == ()
    assert select(names, "all") == names


@pytest.mark.lava
def test_a_layer_of_any_name_is_probed() -> None:
    """Names reach the worker as they are: with commas, dashes, brackets, colons and blanks."""
    graph = renamed({"block.lif": "--all,[n]:o ne/*"})
    images = np.zeros((1, *graph.of("encode")[0].integers("shape")), np.float32)
    given, wanted = backend.run(lower(graph), images, "all"), run(graph, images, "all")
    assert list(given.spikes) == list(wanted.spikes) == ["--all,[n]:o ne/*"]
    assert (given.membrane["--all,[n]:o ne/*"] == wanted.membrane["--all,[n]:o ne/*"]).all()
