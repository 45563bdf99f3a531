"""`neurodeploy import` and `export --to netx`: in, out, and what is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")

from neurodeploy.api import CompiledModel
from neurodeploy.lava_dl import export_netx
from tests.cli.conftest import Command, Files
from tests.netx.files import DATA, NET, graph, neuron

CONV = str(DATA / "conv.net")


def test_in_and_out_and_in_again(call: Command, tmp_path: Path) -> None:
    model, file, again = (str(tmp_path / name) for name in ("a.onnx", "b.net", "c.onnx"))
    first = call("import", CONV, "--steps", "10", "--input-shape", "2x6x6", "-o", model, "--json")
    assert first.code == 0 and first.document["input"] == [10, 2, 6, 6] and first.document["notices"] == []
    out = call("export", model, "--to", "netx", "-o", file, "--json")
    assert out.code == 0 and "reset_interval=10, reset_offset=1, input_message_bits=0" in out.document["run"]
    assert len(out.document["host"]) == 2
    second = call("import", file, "-o", again, "--json")
    assert second.code == 0 and second.document["layers"] == first.document["layers"]
    np.save(tmp_path / "frames.npy", np.load(DATA / "conv.npz")["frames"])
    runs = [
        call("run", path, "--images", str(tmp_path / "frames.npy"), "--backend", "reference", "--json")
        for path in (model, again)
    ]
    assert runs[0].code == 0 and runs[0].document["logits"] == runs[1].document["logits"]


def test_inspect_sends_a_net_file_to_import(call: Command) -> None:
    done = call("inspect", CONV)
    assert done.code == 3 and "ND-A003" in done.err and "neurodeploy import" in done.err


def test_inspect_says_that_nothing_was_rounded(call: Command, tmp_path: Path) -> None:
    model = str(tmp_path / "a.onnx")
    assert call("import", CONV, "--steps", "10", "--input-shape", "2x6x6", "-o", model).code == 0
    shown = call("inspect", model, "--show", "rounding", "--show", "choices").out
    assert [line.partition(":")[0] for line in shown.splitlines()] == ["Rounding", "Choices"]
    assert shown.count("imported, nothing was rounded here") == 2


def test_a_file_of_ours_says_what_comes_in(call: Command, tmp_path: Path) -> None:
    first = {"type": "input", "shape": [2, 4, 4], "neuron": neuron()}
    deployed = CompiledModel(graph(first, *NET, events=False, input_range=(-1, 1)))
    model, file = str(tmp_path / "a.onnx"), str(tmp_path / "b.net")
    export_netx(deployed, file)
    same, other = (call("import", file, "-o", model, *more, "--json").document for more in ((), ("--input", "events")))
    assert (same["input_kind"], same["pixel_range"]) == ("image", [-1, 1]) and other["input_kind"] == "event frames"


def test_a_file_name_that_is_no_utf_8(call: Command, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"w\xff\n.net")
    file.write_bytes(Path(CONV).read_bytes())
    model = str(tmp_path / "a.onnx")
    done = call("import", str(file), "--steps", "4", "--input-shape", "2x6x6", "-o", model, "--json")
    assert done.code == 0 and done.document["name"] == "w\ufffd\ufffd"
    assert call("inspect", model, "--json").document["name"] == "w\ufffd\ufffd"


@pytest.mark.parametrize(
    ("arguments", "code", "finding"),
    [
        ((CONV,), 2, "ND-L006"),
        ((CONV, "--steps", "4"), 2, "ND-L006"),
        ((CONV, "--steps", "4", "--input-shape", "2xsix"), 2, "ND-L013"),
        ((CONV, "--steps", "4", "--input-shape", "2x6x6", "--weights", "x.pt"), 2, "ND-L013"),
        ((CONV, "--steps", "4", "--input-shape", "2x6x6", "--timeout", "5"), 2, "ND-L013"),
        (("file.py:net", "--steps", "4"), 2, "ND-L013"),
        ((f"file.py:net('{'long' * 99}')", "--steps", "4"), 2, "ND-L013"),
        (("gone.net", "--steps", "4"), 3, "ND-L001"),
        ((str(DATA / "conv.npz"), "--steps", "4"), 3, "ND-L002"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: tuple[str, ...], code: int, finding: str, call: Command, tmp_path: Path
) -> None:
    done = call("import", *arguments, "-o", str(tmp_path / "x.onnx"), "--json")
    assert (done.code, done.findings) == (code, [finding]) and not [*tmp_path.iterdir()]


def test_a_transformer_is_not_for_netx(files: Files, call: Command, tmp_path: Path) -> None:
    refused = call("export", files.artefact, "--to", "netx", "-o", str(tmp_path / "x.net"), "--json")
    assert refused.code == 4 and set(refused.findings) == {"ND-L010"} and not [*tmp_path.iterdir()]
    wrong = call("export", files.artefact, "--to", "onnx", "-o", str(tmp_path / "x.onnx"), "--round-bias")
    assert wrong.code == 2 and "--to netx" in wrong.err
