"""Models by name: a factory of a module or a file is imported and called, and a checkpoint is loaded into its model."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from torch import nn

from neurodeploy.errors import Finding, InvalidFileError, Terminated, UsageError
from neurodeploy.frontend.checkpoint import load_into
from neurodeploy.frontend.places import raised_at
from neurodeploy.frontend.sound import require_sound
from neurodeploy.frontend.spec import ModelSpec, parse, usage
from neurodeploy.frontend.standins import instead_of_torchvision, standins, unfit

T = TypeVar("T")
_LOG = logging.getLogger("neurodeploy")
_MEND_IMPORT = {
    "spikingjelly.clock_driven.neuron": "use MultiStepLIFNode, MultiStepParametricLIFNode or MultiStepIFNode",
}
_KNOWN = ("einops", "spikingjelly", "timm", "torchvision")  # modules whose package is called as they are


def load_model(spec: str, weights: str | PathLike[str] | None = None, *, ema: bool = False) -> nn.Module:
    """Import a factory, call it, load the weights, and return the model in eval mode.

    spec: `package.module:factory` or `file.py:factory`, with arguments as in `file.py:factory(T=4)`, literals only.
    Old SpikingJelly, timm and einops may be missing, see `neurodeploy.frontend.standins`; a warning of the logger
    `neurodeploy` names those that were stood in for.
    weights, ema: see `load_into`. Keys of the weights that no forward reads are left out; another warning names
    them.
    Raises UsageError where the name leads to no model, UnsupportedModelError for a model that cannot be walked through
    or has no values, InvalidFileError for a missing file and for the weights.
    """
    if ema and weights is None:
        need, mend = "a checkpoint whose moving averages are taken", "pass weights, or leave ema out"
        raise UsageError(Finding("ND-F203", "ema", need, "no weights", mend))
    wanted = parse(spec)
    folder = Path(wanted.place).resolve().parent if wanted.place.endswith(".py") else Path.cwd()
    with standins() as found, _importable(folder):  # a factory, too, may import what lies beside its file
        model = _built(wanted, _attribute(wanted, _module(wanted)))
    outer = sorted(name for name in found if name.rpartition(".")[0] not in found)
    if outer:
        _LOG.warning("%s: not installed, neurodeploy's stand-ins were taken: %s", wanted.place, ", ".join(outer))
    require_sound(model)
    if weights is not None:
        idle = load_into(model, weights, ema=ema)
        if idle:
            _LOG.warning("%s: keys left out: %s", weights, ", ".join(idle))
    return model.eval()


def _module(spec: ModelSpec) -> ModuleType:
    file = Path(spec.place)
    is_file = spec.place.endswith(".py")
    if is_file and not file.is_file():
        finding = Finding("ND-F201", "", "a Python file", "no such file", "check the path", spec.place)
        raise InvalidFileError(finding)

    need, mend = "a module that can be imported", "import it in Python to see all"
    return _run(spec, lambda: _imported(spec.place, file if is_file else None), need, mend)


def _imported(name: str, file: Path | None) -> ModuleType:
    """The module of a file or of a name; once more without the installed torchvision where that fails to import."""

    def load() -> ModuleType:
        return importlib.import_module(name) if file is None else _executed(file)

    try:
        return load()
    except (ImportError, OSError, RuntimeError) as error:
        if not unfit(error):
            raise
        _LOG.warning("the installed torchvision does not fit this torch (%s); done without it", _last_line(error))
    with instead_of_torchvision():
        return load()


def _run(spec: ModelSpec, action: Callable[[], T], need: str, mend: str) -> T:
    """What the user's code gives. Raises UsageError for whatever it raises, with the line where that arose."""
    try:
        return action()
    except (KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:  # noqa: BLE001  (the user's code may raise anything, or exit)
        if isinstance(error, ImportError) and error.name:
            mend = _MEND_IMPORT.get(error.name) or _mend_import(error.name.partition(".")[0])
        raise usage(spec.text, need, _last_line(error), mend, raised_at(error)) from None


def _mend_import(module: str) -> str:
    """What to do where a module is missing: its name alone does not say whose it is, and a stranger's may have it."""
    if module in _KNOWN:
        return f"pip install {module}, in the version that the file was written for"
    return f"install what provides {module}, or put {module}.py beside the file that imports it"


def _executed(file: Path) -> ModuleType:
    """The module of a file, under a name that no other file has: the source of its classes is looked up by name."""
    file = file.resolve()  # the same file by another path has the same name
    stem, number = f"neurodeploy_model_{file.stem}", 1
    name = stem
    while getattr(sys.modules.get(name), "__file__", str(file)) != str(file):
        number += 1
        name = f"{stem}_{number}"
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


def _attribute(spec: ModelSpec, module: ModuleType) -> Any:
    try:
        return getattr(module, spec.factory)
    except AttributeError:
        found = {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
        own = (key for key, value in found.items() if _is_own(value, module))
        made = [*own] or [*found]
        have = f"no {spec.factory}; there are {', '.join(sorted(made)[:12]) or 'no functions'}"
        raise usage(spec.text, "a factory in the module", have, "check the name after the colon") from None


def _is_own(value: Any, module: ModuleType) -> bool:
    return isinstance(value, nn.Module) or getattr(value, "__module__", "") == module.__name__


def _built(spec: ModelSpec, factory: Any) -> nn.Module:
    """The model: what the factory returns, or the attribute itself where it is a module."""
    if isinstance(factory, nn.Module) and not spec.called:
        return factory
    if isinstance(factory, nn.Module) or not callable(factory):
        have = f"{type(factory).__name__}{', which takes no arguments' if spec.called else ''}"
        raise usage(spec.text, "a factory", have, "name a function that returns the model")
    problem = spec.problem(factory)
    if problem:
        raise usage(spec.text, "the arguments of the factory", *problem)
    need = "a factory that returns a model"
    mend = f"call it in Python to see all; arguments stand in the name, as in {spec.factory}(T=4)"
    model = _run(spec, lambda: factory(*spec.arguments, **spec.options), need, mend)
    if not isinstance(model, nn.Module):
        raise usage(spec.text, "a torch.nn.Module", f"{type(model).__name__}", "return the model from the factory")
    return model


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip(" *") and not line.lstrip().startswith("*")]
    return f"{type(error).__name__}: {lines[-1].strip() if lines else 'no message'}"
