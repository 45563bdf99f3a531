"""Models by name: `package.module:factory` or `file.py:factory`, with a checkpoint."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from neurodeploy.errors import Finding, InvalidFileError, UsageError
from neurodeploy.frontend.checkpoint import load_into
from neurodeploy.frontend.sound import require_sound

_FORM = "package.module:factory or file.py:factory"


def load_model(spec: str, weights: str | PathLike[str] | None = None) -> nn.Module:
    """Import a factory, call it without arguments, load the weights, and return the model in eval mode.

    Keys of the weights that no forward reads are left out; a warning of the logger `neurodeploy` names them.
    Raises UsageError where the name leads to no model, UnsupportedModelError for a model that cannot be walked through
    or has no values, InvalidFileError for a missing file and for the weights.
    """
    place, separator, attribute = spec.rpartition(":")
    if not (place and separator and attribute):
        raise _usage(spec, _FORM, f"{spec!r}", "name a factory, e.g. neurodeploy.models:qkformer_mnist")
    model = _built(spec, _attribute(spec, _module(spec, place), attribute))
    require_sound(model)
    if weights is not None:
        idle = load_into(model, weights)
        if idle:
            logging.getLogger("neurodeploy").warning("%s: keys left out: %s", weights, ", ".join(idle))
    return model.eval()


def _module(spec: str, place: str) -> ModuleType:
    file = Path(place)
    is_file = place.endswith(".py")
    if is_file and not file.is_file():
        finding = Finding("ND-F201", "", "a Python file", "no such file", "check the path", place)
        raise InvalidFileError(finding)
    try:
        with _importable(file.resolve().parent if is_file else Path.cwd()):
            return _executed(file) if is_file else importlib.import_module(place)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (a module may raise anything while it is imported, or exit)
        raise _usage(
            spec, "a module that can be imported", _last_line(error), "import it in Python to see all"
        ) from None


def _executed(file: Path) -> ModuleType:
    """The module of a file, under a name of its own."""
    name = f"neurodeploy_model_{file.stem}"
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise ImportError(f"{file} cannot be loaded as a module")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The folder on the import path, as it is for a script that lies there."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _attribute(spec: str, module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        made = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        have = f"no {name}; there are {', '.join(sorted(made)[:12]) or 'no functions'}"
        raise _usage(spec, "a factory in the module", have, "check the name after the colon") from None


def _built(spec: str, factory: Any) -> nn.Module:
    """The model: what the factory returns, or the attribute itself where it is a module."""
    if isinstance(factory, nn.Module):
        return factory
    if not callable(factory):
        raise _usage(spec, "a factory", f"{type(factory).__name__}", "name a function that returns the model")
    missing = _required(factory)
    if missing:
        have = f"it needs {', '.join(missing)}"
        mend = "write a small function that calls it with these and name that one"
        raise _usage(spec, "a factory that takes no arguments", have, mend)
    try:
        model = factory()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (the user's code may raise anything, or exit)
        raise _usage(
            spec, "a factory that returns a model", _last_line(error), "call it in Python to see all"
        ) from None
    if not isinstance(model, nn.Module):
        raise _usage(spec, "a torch.nn.Module", f"{type(model).__name__}", "return the model from the factory")
    return model


def _required(factory: Any) -> list[str]:
    """The parameters without default of a callable; none where Python cannot tell."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []
    plain = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in plain]


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1].strip() if lines else 'no message'}"


def _usage(spec: str, need: str, have: str, mend: str) -> UsageError:
    return UsageError(Finding("ND-F202", spec, need, have, mend))
