"""The compiled extension, and the processor path that it takes."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from neurodeploy.errors import EnvironmentMissingError, Finding, UsageError

PATH_VARIABLE = "NEURODEPLOY_NATIVE_PATH"
MISSING = "the native backend is not built here"
MEND = "reinstall neurodeploy with a C++ compiler on the PATH"


def load() -> Any:
    """The extension module. Raises EnvironmentMissingError where it was not built."""
    try:
        return import_module("neurodeploy.backends.native._engine")
    except ImportError as error:
        need, advice = "the compiled extension of the backend native", f"{MEND}, or use the backend onnx"
        finding = Finding("ND-B020", "", need, str(error), advice)
        raise EnvironmentMissingError(finding) from error


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
