"""The worker that exports SLAYER's modules, as far as it goes without lava-dl."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from neurodeploy.backends.lava import slayer
from neurodeploy.errors import LimitExceededError, UsageError

torch = pytest.mark.torch  # the front end, to compare with
NAMES = (
    "net.py:Network",
    "net.py:make(device='cuda:0')",
    " models/a.b.py:make(4, 'x:y(z', sizes={'a': 1, 2: (3, None)}) ",
    "C:/models/net.py:make(T=4)",
    "package.module:make (\n  T=4\n)",
)
NO_NAMES = (
    "net.py",
    ":make",
    "net.py:",
    "net.py:f(x",
    "net.py:f(g())",
    "net.py:a.b",
    "net.py:f()()",
    "net.py:f({[]: 1})",
)


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The worker as a module; it changes where Python looks for others."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    return importlib.import_module("neurodeploy.backends.lava.slayer.child")


@torch
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_as_everywhere(name: str, child: Any) -> None:
    from neurodeploy.frontend import spec

    found = spec.parse(name)
    assert child._parsed(name) == (found.place, found.factory, [*found.arguments], {**found.options})


@torch
@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused_as_everywhere(name: str, child: Any) -> None:
    from neurodeploy.frontend import spec

    with pytest.raises(UsageError):
        spec.parse(name)
    with pytest.raises(child.Problem) as caught:
        child._parsed(name)
    assert caught.value.parts[0] == "usage"


GOOD = {"problems": [], "blocks": ["a", "b"], "notices": ["n"]}
PROBLEM = ["usage", "", "a factory", "bad \ud800", "mend it"]
NO_RESULTS = [
    GOOD | {"problems": [["weird", "a", "b", "c", "d"]]},
    GOOD | {"problems": [PROBLEM[:4]]},
    GOOD | {"problems": [[*PROBLEM[:4], 5]]},
    GOOD | {"problems": 3},
    GOOD | {"blocks": [1, 2]},
    GOOD | {"blocks": ["a", "a"]},
    GOOD | {"notices": None},
    {"blocks": []},
    [],
]


def result(folder: Path) -> slayer.Exported:
    return slayer._result(folder, "net.py:make", Path(sys.executable))


def test_a_result_is_taken(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(GOOD))
    assert result(tmp_path).names == {"/layer/0": "a", "/layer/1": "b"} and result(tmp_path).notices == ("n",)
    (tmp_path / "result.json").write_text(json.dumps(GOOD | {"problems": [PROBLEM]}))
    with pytest.raises(UsageError, match=r"ND-L007 \(net.py:make\)\n  needed: a factory\n  found:  bad \?"):
        result(tmp_path)


@pytest.mark.parametrize("given", NO_RESULTS, ids=range(len(NO_RESULTS)))
def test_a_result_that_the_factory_wrote_is_named(given: object, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(given))
    with pytest.raises(LimitExceededError, match=r"ND-L007[^\n]*\n  needed: a result of the export"):
        result(tmp_path)


def test_a_pipe_in_place_of_the_result_does_not_hold_the_caller_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "result.json")
    with pytest.raises(LimitExceededError, match=r"ND-L007.*\n.*\n.*pipe"):
        result(tmp_path)
