"""The tests of the native backend run another build of its extension where NEURODEPLOY_TEST_ENGINE names its folder."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from neurodeploy.backends import native

NAME = "neurodeploy.backends.native._engine"
COMPILERS = ("c++", "g++", "clang++", *filter(None, [os.environ.get("CXX")]))
FOLDER = os.environ.get("NEURODEPLOY_TEST_ENGINE")


def pytest_configure() -> None:
    """Load the extension of that folder in the place of the installed one."""
    if FOLDER is None or NAME in sys.modules:
        return
    (file,) = Path(FOLDER).glob("_engine*.so")
    spec = spec_from_file_location(NAME, file)
    if spec is None or spec.loader is None:
        raise pytest.UsageError(f"{file} is no Python module")
    sys.modules[NAME] = module = module_from_spec(spec)
    spec.loader.exec_module(module)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip where the extension cannot be built; where it could be, a broken build fails the tests."""
    if native.available() or any(map(shutil.which, COMPILERS)):
        return
    for item in items:
        if "backends/native" in str(item.path):
            item.add_marker(pytest.mark.skip(reason="the native extension is not built here"))
