"""Bad input: each kind one named error, the exit code of its kind, no traceback, no half-written file."""

from __future__ import annotations

import io
import os
import pickle
import pty
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import api, compiling
from neurodeploy.cli import inputs
from neurodeploy.cli.app import TRACEBACK
from neurodeploy.cli.inputs import load_data
from neurodeploy.errors import InvalidFileError
from tests.cli.conftest import Command, Files


def bad_files(folder: Path) -> dict[str, str]:
    """Data files that are wrong, each in its own way."""
    images = np.zeros((2, 1, 8, 8), np.float32)
    np.save(folder / "rank.npy", images[0])
    np.save(folder / "size.npy", np.zeros((2, 1, 9, 9), np.float32))
    np.save(folder / "empty.npy", images[:0])
    np.save(folder / "nan.npy", images * np.float32("nan"))
    np.save(folder / "text.npy", np.array(["a", "b"]))
    np.save(folder / "objects.npy", np.array([{}, []], object), allow_pickle=True)
    np.savez(folder / "unnamed.npz", pixels=images)
    np.savez(folder / "both.npz", images=images, frames=images)
    np.savez(folder / "labels.npz", images=images, labels=np.array([0, 9]))
    np.savez(folder / "fewer.npz", images=images, labels=np.array([0]))
    (folder / "cut.npy").write_bytes((folder / "size.npy").read_bytes()[:-40])
    (folder / "cut.npz").write_bytes((folder / "labels.npz").read_bytes()[:-40])
    (folder / "unclosed.npy").write_bytes((folder / "size.npy").read_bytes().replace(b"), }", b" , }"))
    np.savez(folder / "scalar.npz", images=np.float32(3))
    (folder / "nothing.npy").touch()
    os.mkfifo(folder / "pipe.npy")
    (folder / "pickle.npy").write_bytes(pickle.dumps(images))
    return {path.name: str(path) for path in folder.iterdir()}


DATA = [
    ("rank.npy", 2, "ND-B003"),
    ("size.npy", 2, "ND-B003"),
    ("empty.npy", 2, "ND-B004"),
    ("nan.npy", 2, "ND-B005"),
    ("text.npy", 3, "ND-C005"),
    ("objects.npy", 3, "ND-C005"),
    ("unnamed.npz", 3, "ND-C005"),
    ("both.npz", 3, "ND-C005"),
    ("cut.npy", 3, "ND-C005"),
    ("cut.npz", 3, "ND-C005"),
    ("unclosed.npy", 3, "ND-C005"),
    ("scalar.npz", 2, "ND-B003"),
    ("nothing.npy", 3, "ND-C005"),
    ("pipe.npy", 3, "ND-C005"),
    ("pickle.npy", 3, "ND-C005"),
    ("missing.npy", 3, "ND-C005"),
    (".", 3, "ND-C005"),
]


@pytest.mark.parametrize(("name", "code", "finding"), DATA)
def test_bad_images(call: Command, files: Files, tmp_path: Path, name: str, code: int, finding: str) -> None:
    bad_files(tmp_path)
    found = call("run", files.artefact, "--images", tmp_path / name, "--json")
    assert (found.code, found.document["exit_code"], found.findings) == (code, code, [finding])


@pytest.mark.parametrize("name", ["large.npy", "large.npz"])
def test_images_larger_than_the_limit(
    call: Command, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A .npz file of zeros is small, and what it unpacks to is not; other arrays in it do not count."""
    images = np.zeros((100, 1, 8, 8), np.float32)
    np.save(tmp_path / "large.npy", images)
    np.savez_compressed(tmp_path / "large.npz", images=images, labels=np.zeros(100, int))
    np.savez_compressed(tmp_path / "fits.npz", images=images[:2], more=np.zeros(10**6))
    monkeypatch.setattr(inputs, "MAX_BYTES", 20_000)
    assert (tmp_path / "large.npz").stat().st_size < 2_000
    found = call("run", files.artefact, "--images", tmp_path / name, "--json")
    assert (found.code, found.findings) == (6, ["ND-C007"])
    assert load_data(tmp_path / "fits.npz").images.shape == (2, 1, 8, 8)


@pytest.mark.parametrize("kind", [".npy", ".npz"])
@pytest.mark.parametrize("shape", [(1 << 40, 1, 8, 8), (2, 1, 8, 9), (1 << 200,), (-(1 << 30), -(1 << 30))])
def test_images_that_claim_more_than_the_file_holds(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    """They are refused by their header: no memory is asked for."""
    claim, path = io.BytesIO(), tmp_path / f"claim{kind}"
    np.lib.format.write_array_header_1_0(claim, {"descr": "<f4", "fortran_order": False, "shape": shape})
    content = claim.getvalue() + bytes(512)
    path.write_bytes(content)
    if kind == ".npz":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("images.npy", content)
    tracemalloc.start()
    with pytest.raises(InvalidFileError, match=r"(?s)ND-C005.*cut short"):
        load_data(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_flipped_bits_of_images_are_named_errors(tmp_path: Path) -> None:
    """Whatever a damaged .npz makes numpy and zipfile raise: an array, or an InvalidFileError."""
    np.savez_compressed(tmp_path / "whole.npz", images=np.arange(200.0).reshape(2, 1, 10, 10), labels=np.arange(2))
    whole, damaged, refused = (tmp_path / "whole.npz").read_bytes(), tmp_path / "damaged.npz", 0
    for place in range(len(whole)):
        for bit in (0, 3, 6):
            damaged.write_bytes(bytes([*whole[:place], whole[place] ^ 1 << bit, *whole[place + 1 :]]))
            try:
                load_data(damaged)
            except InvalidFileError:
                refused += 1
    assert refused > len(whole)


@pytest.mark.parametrize(
    ("name", "code"), [("labels.npz", "ND-V002"), ("fewer.npz", "ND-V001"), ("size.npy", "ND-C004")]
)
def test_bad_labels(call: Command, files: Files, tmp_path: Path, name: str, code: str) -> None:
    found = call("evaluate", files.artefact, "--images", bad_files(tmp_path)[name], "--json")
    assert (found.code, found.findings) == (2, [code])


def test_missing_truncated_and_flipped_artefacts(call: Command, files: Files, tmp_path: Path) -> None:
    whole = Path(files.artefact).read_bytes()
    spoiled = {"cut": whole[:-100], "flipped": bytes([*whole[:500], whole[500] ^ 4, *whole[501:]]), "empty": b""}
    for name, content in spoiled.items():
        (tmp_path / name).write_bytes(content)
    for name in (*spoiled, "missing"):
        found = call("inspect", tmp_path / name, "--json")
        assert (found.code, found.document["error"]) == (3, "InvalidFileError"), name


USAGE = [
    ("run", "{artefact}"),
    ("run", "{artefact}", "--images", "{images}", "--backend", "gpu"),
    ("run", "{artefact}", "--images", "{images}", "--limit", "0"),
    ("run", "{artefact}", "--images", "{images}", "--probes", "no.such.layer"),
    ("run", "{artefact}", "--images", "{images}", "-o", "/no/such/folder/out.npz"),
    ("compare", "{artefact}", "--images", "{images}", "--backends", "reference"),
    ("compare", "{artefact}", "--images", "{images}", "--backends", "reference,gpu"),
    ("export", "{artefact}", "--to", "verilog", "-o", "x"),
    ("targets", "show", "loihi9"),
    ("fly",),
    ("compile", "a:b", "--calibration", "{images}", "-o", "/no/such/folder/x.onnx"),
    ("compile", "a:b", "--calibration", "{images}", "-o", "x.onnx", "--weight-bits", "many"),
    ("compile", "neurodeploy.models:qkformer_mnist", "--calibration", "{images}", "-o", "x.onnx", "--ema"),
    ("evaluate", "{artefact}", "--images", "{images}", "--weights", "x.pth"),
]


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_wrong_calls(call: Command, files: Files, words: tuple[str, ...]) -> None:
    given = [word.format(**files._asdict()) for word in words]
    found = call(*given, "--json")
    assert (found.code, found.document["error"]) == (2, "UsageError")
    plain = call(*given)
    assert (plain.code, plain.out) == (2, "")
    assert "next:" in plain.err
    assert "Traceback" not in plain.err


@pytest.mark.parametrize(
    "words",
    [
        ("run", "{artefact}", "--images", "{images}"),
        ("simulate", "{artefact}", "--images", "{images}"),
        ("compile", "a:b", "--calibration", "{images}"),
        ("export", "{artefact}", "--to", "onnx"),
        ("export", "{artefact}", "--to", "lava", "--overwrite"),
    ],
    ids=lambda words: " ".join(words[::3]),
)
def test_no_output_replaces_a_pipe(call: Command, files: Files, tmp_path: Path, words: tuple[str, ...]) -> None:
    os.mkfifo(tmp_path / "pipe")
    found = call(*(word.format(**files._asdict()) for word in words), "-o", tmp_path / "pipe", "--json")
    assert (found.code, found.document["error"]) == (2, "UsageError")
    assert (tmp_path / "pipe").is_fifo()


def test_environment_without_torch_is_named(
    call: Command, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(compiling, "import_module", missing)
    words = ("compile", "a:b", "--calibration", files.images, "-o", tmp_path / "x.onnx", "--json")
    found = call(*words)
    assert (found.code, found.document["error"], found.findings) == (2, "EnvironmentMissingError", ["ND-C002"])
    assert list(tmp_path.iterdir()) == []


BLOCKED = """
import sys
class Lost:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Lost())
from neurodeploy.cli import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize("package", ["click", "rich", "onnx", "numpy", "networkx"])
def test_a_lost_package_is_named(package: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", BLOCKED, package, "inspect", "missing.onnx"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (found.returncode, found.stdout) == (2, "")
    assert package in found.stderr and "pip install" in found.stderr
    assert "Traceback" not in found.stderr


def break_load(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def load(path: Path) -> None:
        raise error

    monkeypatch.setattr(api, "load", load)


def test_unexpected_error_is_one_line_and_a_hint(call: Command, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    break_load(monkeypatch, RuntimeError("boom\nsecond line"))
    monkeypatch.delenv(TRACEBACK, raising=False)
    found = call("inspect", files.artefact)
    assert (found.code, found.out) == (1, "")
    assert "RuntimeError: boom" in found.err
    assert TRACEBACK in found.err
    assert "Traceback" not in found.err
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(RuntimeError, match="boom"):
        call("inspect", files.artefact)


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (MemoryError(), 6)])
def test_interrupt_and_memory(
    call: Command, files: Files, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    break_load(monkeypatch, error)
    found = call("inspect", files.artefact)
    assert (found.code, found.out) == (code, "")
    assert found.err


PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores both
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
from neurodeploy import api
from neurodeploy.cli import main
real = api.CompiledModel.run
def run(*arguments, **options):
    print("running", file=sys.stderr, flush=True)
    return real(*arguments, **options)
api.CompiledModel.run = run
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)]
)
def test_signals_end_a_run_cleanly(files: Files, tmp_path: Path, number: int, code: int) -> None:
    """A long run that is interrupted leaves its exit code, a short message and no file."""
    np.save(tmp_path / "many.npy", np.zeros((400_000, 1, 8, 8), np.uint8))
    out = tmp_path / "out.npz"
    words = ["run", files.artefact, "--images", str(tmp_path / "many.npy"), "--backend", "reference", "-o", str(out)]
    command = [sys.executable, "-c", PROGRAM, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert child.stderr.readline() == "running\n"
        time.sleep(0.3)
        child.send_signal(number)
        stdout, stderr = child.communicate(timeout=30)
    assert child.returncode == code
    assert "Traceback" not in stderr
    assert stdout == ""
    assert [p.name for p in tmp_path.iterdir()] == ["many.npy"]


def on_terminal(words: list[str], **variables: str) -> str:
    """What a program prints on a terminal."""
    parent, child = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", **variables}
    program = "import sys; from neurodeploy.cli import main; main(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", program, *words], stdout=child, stderr=child, env=environ, check=False)
    os.close(child)
    text = b""
    try:
        while chunk := os.read(parent, 4096):
            text += chunk
    except OSError:  # Linux ends a terminal this way
        pass
    os.close(parent)
    return text.decode()


def test_colour_only_on_a_terminal_that_wants_it(tmp_path: Path) -> None:
    words = ["inspect", str(tmp_path / "missing.onnx")]
    assert "\x1b[1;31m" in on_terminal(words)
    plain = on_terminal(words, NO_COLOR="1")
    assert "ND-A002" in plain
    assert "31m" not in plain
