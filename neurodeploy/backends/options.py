"""The options of a run, checked once for all backends: names and types are those of the backend's own function."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from inspect import Parameter, signature
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from neurodeploy.errors import Finding, UsageError

GIVEN = 2  # parameters that are no options: the network and the images
THREADS = 4  # a core: what spins to wait for the others takes their time from them
FEW_THREADS = 16  # may be asked for on any machine


def check_options(run: Callable[..., Any], options: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """The options as plain numbers and lists. more: those beside the ones of the function, name -> type.

    Raises UsageError, all findings at once, for what the backend's function does not take.
    """
    hints, parameters = get_type_hints(run), signature(run).parameters
    known = {name: hints.get(name) for name in list(parameters)[GIVEN:]} | dict(more)
    findings = [finding for name, value in options.items() for finding in _problems(known, name, value)]
    if findings and not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        raise UsageError(findings)
    return {name: _plain(value) for name, value in options.items()}


def most_threads() -> int:
    """More threads than this are refused."""
    return max(FEW_THREADS, THREADS * len(os.sched_getaffinity(0)))


def _problems(known: Mapping[str, Any], name: str, value: object) -> Iterator[Finding]:
    if name not in known:
        need = f"one of {', '.join(other for other in known if other != 'probes')}"
        yield Finding("ND-B008", name, need, f"an option {name}, which this backend has not", f"leave {name} out")
    elif not _fits(known[name], value):
        have = f"{value!r:.80} of type {type(value).__name__}"
        yield Finding("ND-B008", name, _shown(known[name]), have, f"leave {name} out for what is usual")
    elif name == "threads" and isinstance(value, Integral):
        yield from _thread_problems(int(value))


def require_threads(threads: int) -> None:
    """Raise UsageError for a number of threads that this machine is not asked for."""
    if findings := list(_thread_problems(threads)):
        raise UsageError(findings)


def _thread_problems(threads: int) -> Iterator[Finding]:
    if not 0 <= threads <= most_threads():
        need = f"0 (one a core) to {most_threads()} on this machine"
        yield Finding("ND-B009", "threads", need, str(threads), "leave threads out")


def _fits(kind: Any, value: object) -> bool:
    """Whether a value is of the type of an option. Truth values are no numbers."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return any(_fits(part, value) for part in get_args(kind))
    if origin is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind is str:
        return isinstance(value, str)
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind is NoneType:
        return value is None
    if origin is Callable:
        return callable(value)
    return isinstance(value, Collection) and all(isinstance(part, str) for part in value)


def _plain(value: Any) -> Any:
    """Numbers and names of NumPy overflow and compare in ways of their own."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    return [str(part) for part in value] if isinstance(value, Collection) and not isinstance(value, str) else value


def _shown(kind: Any) -> str:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return " or ".join(_shown(part) for part in get_args(kind))
    if origin is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return {int: "a whole number", float: "a number", NoneType: "None", str: "a text"}.get(
        kind, "a function" if origin is Callable else "a list of names"
    )
