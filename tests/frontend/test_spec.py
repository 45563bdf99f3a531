"""Names of models: what is read from them, and that nothing in them is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from neurodeploy.errors import UsageError
from neurodeploy.frontend import load_model
from neurodeploy.frontend.spec import parse

FILE = """
import torch
made = []

class Model(torch.nn.Identity):
    def __init__(self, *arguments, **options):
        super().__init__()
        made.append((arguments, options))
        self.given = arguments, options

def takes(depth, *, width, T=4, norm=torch.nn.LayerNorm): return Model(depth, width, T)
def any_(pretrained=False, **kwargs): return Model(pretrained, **kwargs)
ready = Model()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(FILE, encoding="utf-8")
    return tmp_path / "mine.py"


@pytest.mark.parametrize(
    ("text", "place", "factory", "arguments", "options"),
    [
        ("pkg.mod:f", "pkg.mod", "f", (), {}),
        ("pkg.mod:f()", "pkg.mod", "f", (), {}),
        ("a/b.py:f(T=4, img_size_h=288)", "a/b.py", "f", (), {"T": 4, "img_size_h": 288}),
        ("a.py:f(1, -2.5, 'x:y(z)', None)", "a.py", "f", (1, -2.5, "x:y(z)", None), {}),
        ("a.py:f(sizes=[1, (2, 3)], by={'k': True})", "a.py", "f", (), {"sizes": [1, (2, 3)], "by": {"k": True}}),
        ("/tmp/a (1):b/c.py:f_2(T=1)", "/tmp/a (1):b/c.py", "f_2", (), {"T": 1}),
        ("C:\\nets\\c.py:f(T=1)", "C:\\nets\\c.py", "f", (), {"T": 1}),
        ("a.py:f(\n  T=1,\n)", "a.py", "f", (), {"T": 1}),
    ],
)
def test_names(text: str, place: str, factory: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    found = parse(text)
    assert (found.place, found.factory, found.arguments, found.options) == (place, factory, arguments, options)
    assert found.called == bool(arguments or options)


@pytest.mark.parametrize(
    ("call", "have"),
    [
        ("f(T=range(3))", "T=range(3)"),
        ("f(__import__('os').abort())", "__import__('os').abort()"),
        ("f(2**30)", "2 ** 30"),
        ("f(*[1])", "*[1]"),
        ("f(**{'T': 1})", "**{'T': 1}"),
        ("f(T=)", "invalid syntax"),
        ("f(T=1", "never closed"),
        ("f(T=1) + 1", "f(T=1) + 1"),
        ("f(T=1, T=2)", "given twice"),
        ("f(" + "[" * 5000 + "]" * 5000 + ")", ""),
        ("f.g", "f.g"),
        ("f-g", "f-g"),
        ("", "a.py:"),
    ],
)
def test_wrong_names(call: str, have: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(f"a.py:{call}")
    (finding,) = caught.value.findings
    assert finding.code == "ND-F202"
    assert have in finding.have
    assert finding.next


def test_a_factory_gets_its_arguments(file: Path) -> None:
    assert load_model(f"{file}:takes(3, width=5)").given == ((3, 5, 4), {})
    assert load_model(f"{file}:takes(depth=3, width=5, T=1)").given == ((3, 5, 1), {})
    assert load_model(f"{file}:any_(in_channels=2, embed_dims=[1, 2])").given == (
        (False,),
        {"in_channels": 2, "embed_dims": [1, 2]},
    )


@pytest.mark.parametrize(
    ("call", "have"),
    [
        ("takes", "it needs depth, width"),
        ("takes(3)", "it needs width"),
        ("takes(3, width=2, size=1)", "unexpected keyword argument 'size'"),
        ("takes(1, 2, 3)", "too many positional arguments"),
    ],
)
def test_arguments_that_a_factory_does_not_take(file: Path, call: str, have: str) -> None:
    """The call that would be right is shown."""
    with pytest.raises(UsageError) as caught:
        load_model(f"{file}:{call}")
    (finding,) = caught.value.findings
    assert have in finding.have
    assert finding.next == f"write it as {file}:takes(depth=..., width=..., T=4, norm=...)"


def test_a_model_that_is_there_takes_no_arguments(file: Path) -> None:
    assert load_model(f"{file}:ready").given == ((), {})
    with pytest.raises(UsageError, match="takes no arguments"):
        load_model(f"{file}:ready(T=4)")
