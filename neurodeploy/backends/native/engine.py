"""The compiled extension, and the processor path that it takes."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from neurodeploy.errors import EnvironmentMissingError, Finding, UsageError

PATH_VARIABLE = "NEURODEPLOY_NATIVE_PATH"
INTERFACE = 4  # of the extension (native/module.cpp): an editable install may hold one of another version
MISSING = "the native backend is not built here"
MEND = "reinstall neurodeploy with a C++ compiler on the PATH"


def load() -> Any:
    """The extension module. Raises EnvironmentMissingError where it was not built, or by another version."""
    try:
        engine = import_module("neurodeploy.backends.native._engine")
    except ImportError as error:
        raise _missing("the compiled extension of the backend native", str(error)) from error
    built = getattr(engine, "INTERFACE", 0)
    if built != INTERFACE:
        raise _missing(f"interface {INTERFACE} of the compiled extension", f"{built}: one of another version")
    return engine


def _missing(need: str, have: str) -> EnvironmentMissingError:
    return EnvironmentMissingError(Finding("ND-B020", "", need, have, f"{MEND}, or use the backend onnx"))


def available() -> bool:
    """Whether the extension can be loaded."""
    try:
        load()
    except EnvironmentMissingError:
        return False
    return True


def paths() -> tuple[str, ...]:
    """The processor paths that can run here, the fastest first. Raises EnvironmentMissingError."""
    return tuple(load().paths())


def path() -> str:
    """The path that NEURODEPLOY_NATIVE_PATH names, or the fastest. Raises UsageError for one that cannot run here."""
    known = paths()
    chosen = os.environ.get(PATH_VARIABLE) or known[0]
    if chosen not in known:
        finding = Finding("ND-B021", PATH_VARIABLE, f"one of {', '.join(known)}", chosen, f"unset {PATH_VARIABLE}")
        raise UsageError(finding)
    return chosen
