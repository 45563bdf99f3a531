"""Where a traced op stands in the user's code: module path, file and line."""

from __future__ import annotations

import re
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Any

from neurodeploy.ir.graph import Source

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in forward\b')  # helpers' frames stand there in torch 2.3 only
_ROOT = "model"  # the name under which the tracer wraps the user's model
# Parts of the paths of frames that are nobody's model.
_FOREIGN = ("/torch/", "/spikingjelly/", "/timm/", "/einops/", "/neurodeploy/frontend/")
_ZOO = "/spikingjelly/activation_based/model/"  # which are models, where nobody wraps them


def short(file: Path) -> str:
    """A file relative to where Python imports it from, so that graphs do not depend on the machine."""
    homes = sorted((Path(entry or ".").resolve() for entry in sys.path), key=lambda home: -len(home.parts))
    for home in (*homes, Path.cwd()):
        if home != home.parent and file.resolve().is_relative_to(home):
            return file.resolve().relative_to(home).as_posix()
    return file.as_posix()


def raised_at(error: BaseException) -> str:
    """`file:line` of the innermost line of the user's own code on the way to an error, "" where there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{short(Path(error.filename))}:{error.lineno or 0}"
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [place for place in frames if not _is_foreign(place[0])]
    return f"{short(Path(own[-1][0]))}:{own[-1][1]}" if own else ""


def wants_sequence(error: BaseException | None) -> bool:
    """Whether a layer of SpikingJelly in step mode "m" refused its input, which is no sequence [T, N, ...]."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)] if error else []
    layer = frames[-1].f_locals.get("self") if frames else None
    return getattr(layer, "step_mode", "") == "m" and "/spikingjelly/" in frames[-1].f_code.co_filename


def _is_foreign(file: str) -> bool:
    """Whether a file is Python's own or one of a library that models call."""
    standard = file.startswith(sysconfig.get_path("stdlib")) and "-packages" not in file
    return standard or file.startswith("<") or any(part in file for part in _FOREIGN)


def module_path(meta: dict[str, Any]) -> str:
    """The dotted path of the module that made an FX node, in the user's model ("" for the model itself)."""
    stack = meta.get("nn_module_stack") or {}
    paths = [entry[0] for entry in stack.values()]
    path = str(paths[-1]).split("@")[0] if paths else ""
    path = path.removeprefix("L['self'].").removeprefix(_ROOT)
    return path.removeprefix(".")


def source_of(meta: dict[str, Any]) -> Source:
    """The innermost line of a forward of the user's own on the way to an FX node."""
    frames = _FRAME.findall(meta.get("stack_trace") or "")
    own = [frame for frame in frames if not any(part in frame[0] for part in _FOREIGN)]
    own = own or [frame for frame in frames if _ZOO in frame[0]]
    file, line = own[-1] if own else ("", "0")
    return Source(module_path(meta), short(Path(file)) if file else "", int(line))
