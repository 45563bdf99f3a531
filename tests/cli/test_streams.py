"""Streams that are closed, full or left, and text that a terminal would obey: exit codes stay, no traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from neurodeploy import api
from neurodeploy.cli.streams import clean
from neurodeploy.ir.artefact import save
from tests.cli.conftest import Command, Files

# A full disk for one stream: /dev/full itself is no place to write to in a test, as a bug might replace it.
FULL = """
import errno, io, os
class Full(io.FileIO):
    def write(self, data):
        if self.fileno() in numbers:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)
io.FileIO, numbers = Full, {numbers}
"""
MAIN = """
import sys
from neurodeploy.cli import main
main(sys.argv[1:])
"""
LIST = ("targets", "list")
WRONG = ("inspect", "missing.onnx")


def program(*words: str, shell: str = "", full: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command line in a shell, with redirections."""
    text = (FULL.replace("{numbers}", repr(full)) if full else "") + MAIN
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-c", text, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [LIST, (*LIST, "--json"), ("--help",)], ids=" ".join)
@pytest.mark.parametrize("lost", ["full", "closed"])
def test_a_result_that_cannot_be_delivered_is_an_error(words: tuple[str, ...], lost: str) -> None:
    found = program(*words, full=(1,)) if lost == "full" else program(*words, shell=">&-")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.count("ND-C013") == 1
    assert "Traceback" not in found.stderr and "Exception ignored" not in found.stderr


@pytest.mark.parametrize("words", [WRONG, (*WRONG, "--json")], ids=" ".join)
def test_the_code_of_an_error_stays_when_stdout_is_lost(words: tuple[str, ...]) -> None:
    for found in (program(*words, full=(1,)), program(*words, shell=">&-")):
        assert found.returncode == 3
        assert "ND-A002" in found.stderr
        assert "Traceback" not in found.stderr


@pytest.mark.parametrize(("words", "code"), [(LIST, 0), (WRONG, 3), ((*WRONG, "--json"), 3), (("fly",), 2)])
def test_the_code_stays_when_stderr_is_lost(words: tuple[str, ...], code: int) -> None:
    for found in (program(*words, full=(2,)), program(*words, shell="2>&-"), program(*words, shell="<&- 2>&-")):
        assert (found.returncode, found.stderr) == (code, "")
        assert bool(found.stdout) == (code == 0 or "--json" in words)


@pytest.mark.parametrize("words", [LIST, (*LIST, "--json"), (*WRONG, "--json")], ids=" ".join)
def test_a_reader_that_has_left_ends_the_program_in_silence(words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        command = [sys.executable, "-c", MAIN, *words]
        found = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write)
    assert (found.returncode, found.stderr) == (141, "")


def test_a_closed_stdout_does_not_become_the_file_that_is_written(files: Files, tmp_path: Path) -> None:
    out = str(tmp_path / "copy.onnx")
    found = program("export", files.artefact, "--to", "onnx", "-o", out, shell=">&-")
    assert found.returncode == 2
    assert Path(out).read_bytes() == Path(files.artefact).read_bytes()


def test_names_do_not_reach_the_terminal_as_commands(call: Command, files: Files, tmp_path: Path) -> None:
    evil = "\x1b[31m\x9b2J\x07\u202e"
    graph = api.load(files.artefact).graph
    nodes = [replace(n, source=replace(n.source, path=evil, file=f"{evil}.py")) for n in graph.nodes]
    path = tmp_path / f"{evil}.onnx"
    save(replace(graph, name=f"net{evil}", nodes=tuple(nodes), metadata={"target": evil}), path)
    said = [call("inspect", path), call("inspect", f"{path}x"), call("export", path, "--to", "onnx", "-o", f"{path}y")]
    said += [call("run", path, "--images", files.images, "-o", tmp_path / f"{evil}.npz"), call(evil)]
    assert [found.code for found in said] == [0, 3, 0, 0, 2]
    for found in said:
        assert found.out or found.err
        assert not set(evil.replace("[31m", "").replace("2J", "")) & set(found.out + found.err)
    assert "net[31m2J" in said[0].out


def test_what_is_clean_stays() -> None:
    assert clean("größe → 層 \t\n") == "größe → 層 \t\n"
    assert clean(os.strerror(errno.ENOSPC)) == os.strerror(errno.ENOSPC)
