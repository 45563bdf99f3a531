"""The worker that exports SLAYER's modules, as far as it goes without lava-dl."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from neurodeploy.errors import UsageError

pytestmark = pytest.mark.torch  # the front end, to compare with
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


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_as_everywhere(name: str, child: Any) -> None:
    from neurodeploy.frontend import spec

    found = spec.parse(name)
    assert child._parsed(name) == (found.place, found.factory, [*found.arguments], {**found.options})


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused_as_everywhere(name: str, child: Any) -> None:
    from neurodeploy.frontend import spec

    with pytest.raises(UsageError):
        spec.parse(name)
    with pytest.raises(child.Problem) as caught:
        child._parsed(name)
    assert caught.value.parts[0] == "usage"
