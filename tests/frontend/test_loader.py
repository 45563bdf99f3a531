"""Models by name: what a name may be, and what each wrong one is told."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
import torch

from neurodeploy.errors import InvalidFileError, NeurodeployError, Terminated, UnsupportedModelError, UsageError
from neurodeploy.frontend import load_model

FILE = """
import torch
from sibling import CLASSES

def model(outputs=CLASSES):
    return torch.nn.Linear(4, outputs)

def later():
    from sibling_later import MADE
    return torch.nn.Linear(MADE, 1)

def needs(depth, *, width): ...
def fails(): raise ValueError("first\\nno such depth")
def none(): ...
def leaves(): raise SystemExit(0)
def ends(): raise GeneratorExit
def stops(): raise KeyboardInterrupt
def terminated():
    from neurodeploy.errors import Terminated
    raise Terminated(143)
def circle():
    inner = torch.nn.Sequential(torch.nn.Identity())
    inner.add_module("me", inner)
    return inner
class Own(torch.nn.Identity): pass
ready = model(2).train()
number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "sibling.py").write_text("CLASSES = 7\n", encoding="utf-8")
    (tmp_path / "sibling_later.py").write_text("MADE = 5\n", encoding="utf-8")
    (tmp_path / "mine.py").write_text(FILE, encoding="utf-8")
    return tmp_path / "mine.py"


def test_module_and_file(file: Path) -> None:
    path = list(sys.path)
    assert load_model(f"{file}:model").out_features == 7
    assert type(load_model("neurodeploy.models:qkformer_mnist")).__name__ == "QKFormer"
    assert load_model(f"{file}:later").in_features == 5
    assert sys.path == path
    assert not load_model(f"{file}:ready").training


def test_module_in_the_current_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert load_model("mine:model").out_features == 7


def test_weights(file: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.pth"
    torch.save({"weight": torch.full((7, 4), 2.0), "bias": torch.zeros(7)}, weights)
    assert bool((load_model(f"{file}:model", weights).weight == 2).all())
    torch.save({"weight": torch.zeros(3)}, weights)
    with pytest.raises(InvalidFileError):
        load_model(f"{file}:model", weights)


def test_weights_that_no_forward_reads_are_named(file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = tmp_path / "w.pth"
    torch.save({"weight": torch.ones(7, 4), "bias": torch.ones(7)}, weights)
    load_model(f"{file}:model", weights)
    assert not caplog.records
    torch.save({"weight": torch.ones(7, 4), "bias": torch.ones(7), "block.norm2.bias": torch.ones(7)}, weights)
    load_model(f"{file}:model", weights)
    assert [record.getMessage() for record in caplog.records] == [f"{weights}: keys left out: block.norm2.bias"]


@pytest.mark.parametrize(
    ("spec", "have"),
    [
        ("{file}:needs", "it needs depth, width"),
        ("{file}:fails", "ValueError: no such depth"),
        ("{file}:none", "NoneType"),
        ("{file}:number", "int"),
        ("{file}:leaves", "SystemExit: 0"),
        ("{file}:ends", "GeneratorExit: no message"),
        ("{file}:other", "there are Own, circle, ends, fails, later, leaves, model, needs, none, ready, stops"),
        ("no.such.module:model", "No module named 'no'"),
        ("model", "'model'"),
        (":model", "':model'"),
        ("neurodeploy.models:", "'neurodeploy.models:'"),
    ],
)
def test_wrong_names(file: Path, spec: str, have: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_model(spec.format(file=file))
    (finding,) = caught.value.findings
    assert finding.code == "ND-F202"
    assert have in finding.have


def test_an_interrupt_is_no_finding(file: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_model(f"{file}:stops")
    with pytest.raises(Terminated):
        load_model(f"{file}:terminated")
    file.write_text("raise KeyboardInterrupt\n", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        load_model(f"{file}:model")


def test_a_module_inside_itself(file: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="ND-F011 me"):
        load_model(f"{file}:circle")


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match=r"(?s)ND-F201.*no such file"):
        load_model(f"{tmp_path}/none.py:model")
    (tmp_path / "broken.py").write_text("def model(:\n", encoding="utf-8")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    (tmp_path / "ends.py").write_text("raise GeneratorExit\n", encoding="utf-8")
    for name in ("broken", "leaves", "ends"):
        with pytest.raises(NeurodeployError) as caught:
            load_model(f"{tmp_path}/{name}.py:model")
        assert caught.value.findings[0].need == "a module that can be imported"


@pytest.mark.parametrize(
    ("text", "line", "have"),
    [
        ("def sizes():\n    return {}['depth']\n\nsizes()\n", 2, "KeyError: 'depth'"),
        ("import torch\n\ndef model(:\n", 3, "SyntaxError"),
        ("import torch\n\ntorch.linspace(0, 1, [4])\n", 3, "TypeError: linspace()"),
        ("import no_such_package\n", 1, "No module named 'no_such_package'"),
        ("import torch\ndef model():\n    return torch.nn.Linear(-1, 2)\n", 3, "RuntimeError"),
    ],
)
def test_the_line_of_an_error_is_the_users_own(tmp_path: Path, text: str, line: int, have: str) -> None:
    """Not one of torch or of the loader."""
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_model(f"{tmp_path / 'mine.py'}:model")
    (finding,) = caught.value.findings
    assert finding.source.endswith(f"mine.py:{line}")
    assert have in finding.have


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import no_such_package.part\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_model(f"{tmp_path / 'mine.py'}:model")
    assert "install what provides no_such_package, or put no_such_package.py beside" in caught.value.findings[0].next
    assert "pip install" not in caught.value.findings[0].next  # a stranger's package may have that name


def test_a_part_of_a_known_package_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import spikingjelly.no_such_part\n", encoding="utf-8")
    with pytest.raises(UsageError, match="pip install spikingjelly"):
        load_model(f"{tmp_path / 'mine.py'}:model")


def test_files_of_one_name_keep_their_sources_apart(tmp_path: Path) -> None:
    """A finding names the line of the class's own file, also where another model.py was loaded since."""
    models = []
    for folder, lines in (("a", 1), ("b", 9)):
        (tmp_path / folder).mkdir()
        text = "\n" * lines + "from torch import nn\nclass Own(nn.Identity):\n    pass\n"
        (tmp_path / folder / "model.py").write_text(text, encoding="utf-8")
        models.append(load_model(f"{tmp_path / folder / 'model.py'}:Own"))
    assert [inspect.getsourcelines(type(model))[1] for model in models] == [3, 11]


def test_a_file_keeps_its_module_whatever_its_path_is_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    names = {type(load_model(f"{place}:Own")).__module__ for place in ("mine.py", "./mine.py", file, "mine.py")}
    assert len(names) == 1


def test_a_factory_that_cannot_be_looked_at(tmp_path: Path) -> None:
    text = """
class Odd:
    def __getattr__(self, name): raise RuntimeError(name)
    def __call__(self): raise KeyError("mine")
factory = Odd()
"""
    (tmp_path / "odd.py").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="KeyError: 'mine'"):
        load_model(f"{tmp_path / 'odd.py'}:factory")
