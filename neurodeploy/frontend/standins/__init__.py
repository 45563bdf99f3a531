"""Stand-ins for what model files import and a deployment does not need: old SpikingJelly, timm, einops.

The authors' files of Spikformer and QKFormer import `spikingjelly.clock_driven` (gone since SpikingJelly 0.0.0.0.14),
timm and einops, and ask for CuPy. The folder `packages` holds the few names of these that they use, written for
inference on the CPU; they are found while a model is imported and built, after everything that is installed.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from threading import RLock, get_ident
from types import ModuleType
from typing import Any

PACKAGES = Path(__file__).resolve().parent / "packages"
NAMES = ("einops", "spikingjelly", "timm")
UNFIT = "torchvision"
_NEURONS = ("spikingjelly.clock_driven.neuron", "spikingjelly.activation_based.neuron")
_CLASSES = ("IFNode", "LIFNode", "ParametricLIFNode")


class _Finder:
    """Finds the stand-ins of some packages: `clock_driven` is one where the installed SpikingJelly has none."""

    def __init__(self, *packages: str) -> None:
        self.packages = packages
        self.found: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The stand-in of that name, None for all other modules."""
        if name.partition(".")[0] not in self.packages:
            return None
        spec = PathFinder.find_spec(name, [str(PACKAGES.joinpath(*name.split(".")[:-1]))])
        if spec:
            self.found.add(name)
        return spec


@contextmanager
def standins() -> Iterator[set[str]]:
    """Imports find the stand-ins of what is not installed; none is left in sys.modules in the end, also after an error.

    Yields the names of the stand-ins that were found, as far as they are; those of one inside another are the outer's.
    Installed neurons of SpikingJelly take any `backend` meanwhile, and ignore it: it is a matter of speed on a GPU.
    """
    found = _HOUSE.enter()
    try:
        yield found
    finally:
        _HOUSE.leave()


class _House:
    """The threads that use the stand-ins now: they share one finder, which goes with the last of them.

    No thread waits for another, for a factory may start one that loads a model, and wait for it.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._undo, self._finder = RLock(), list[int](), ExitStack(), _Finder(*NAMES)

    def enter(self) -> set[str]:
        """Set up what the first one needs; the names that are found, those of one inside another are the outer's."""
        with self._lock:
            if not self._inside:
                self._undo.enter_context(_any_backend())
                self._finder = _Finder(*NAMES)
                sys.meta_path.append(self._finder)
            inner = get_ident() in self._inside  # a model file that loads another one
            self._inside.append(get_ident())
            return set() if inner else self._finder.found

    def leave(self) -> None:
        """Put back what was there, with the last one."""
        with self._lock:
            self._inside.remove(get_ident())
            if not self._inside:
                sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self._finder]
                _forget(*NAMES)
                self._undo.close()


_HOUSE = _House()


def unfit(error: BaseException) -> bool:
    """Whether an import failed inside torchvision, as one does that was built for another torch."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(Path(frame.filename).parent.name == "torchvision" for frame in frames)


@contextmanager
def instead_of_torchvision() -> Iterator[None]:
    """The stand-in of torchvision goes first: SpikingJelly's models import it for the download of weights alone."""
    for name in [name for name in sys.modules if name.partition(".")[0] == UNFIT]:
        del sys.modules[name]
    first = _Finder(UNFIT)
    sys.meta_path.insert(0, first)
    try:
        yield
    finally:
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not first]
        _forget(UNFIT)


def _forget(*names: str) -> None:
    """Take the stand-ins of these packages out of sys.modules and out of the installed ones that they stood in.

    The user's code may have put anything there, under any name.
    """
    for name, module in list(sys.modules.items()):
        if _is_standin(module) and name.partition(".")[0] in names:
            sys.modules.pop(name, None)
            package, _, leaf = name.rpartition(".")
            parent = sys.modules.get(package)
            if isinstance(parent, ModuleType):
                vars(parent).pop(leaf, None)


def _is_standin(module: object) -> bool:
    file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    return isinstance(file, str) and PACKAGES in Path(file).parents


@contextmanager
def _any_backend() -> Iterator[None]:
    """Constructors of the installed neurons without their `backend`, unless there is CuPy.

    SpikingJelly up to 0.0.0.0.12 asserts that CuPy is there, later ones raise, and 2.0 knows no such argument.
    """
    with ExitStack() as undo:
        for name in _NEURONS if find_spec("cupy") is None else ():
            try:
                module = import_module(name)
            except ImportError:
                continue
            for node in (*_CLASSES, *(f"MultiStep{node}" for node in _CLASSES)):
                cls = vars(module).get(node)
                if cls is not None and "__init__" in vars(cls):
                    undo.callback(setattr, cls, "__init__", cls.__init__)
                    cls.__init__ = _without_backend(cls.__init__)
        yield


def _without_backend(init: Callable[..., None]) -> Callable[..., None]:
    @wraps(init)
    def built(self: Any, *arguments: Any, backend: str = "torch", **options: Any) -> None:
        init(self, *arguments, **options)

    return built
