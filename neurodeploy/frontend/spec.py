"""Names of models: `package.module:factory` or `file.py:factory`, with arguments that are literals of Python."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neurodeploy.errors import Finding, UsageError

FORM = "package.module:factory or file.py:factory, with arguments as in file.py:factory(T=4)"
_SPEC = re.compile(r"(?P<place>.+?):(?P<call>[^\W\d]\w*\s*(?:\(.*)?)", re.DOTALL)
_EXAMPLE = "name a factory, e.g. neurodeploy.models:qkformer_mnist"
_LITERALS = "numbers, strings, True, False, None, and lists, tuples and dicts of them"


@dataclass(frozen=True)
class ModelSpec:
    """A factory of a module or a file, and what to call it with."""

    text: str
    place: str
    factory: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def called(self) -> bool:
        """Whether there are arguments."""
        return bool(self.arguments or self.options)

    def problem(self, factory: Any) -> tuple[str, str] | None:
        """(have, next) where a callable does not take these arguments; None where it does, or Python cannot tell."""
        try:
            signature = inspect.signature(factory)
        except Exception:  # noqa: BLE001  (the user's object may raise anything when it is looked at)
            return None
        form = f"write it as {self.place}:{self.factory}{_shown(signature)}"
        try:
            given = signature.bind_partial(*self.arguments, **self.options).arguments
        except TypeError as error:
            return f"{error}; it takes {_shown(signature)}", form
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        needed = [p for p in signature.parameters.values() if p.default is p.empty and p.kind not in kinds]
        missing = [p.name for p in needed if p.name not in given]
        return (f"it needs {', '.join(missing)}", form) if missing else None


def _shown(signature: inspect.Signature) -> str:
    """A signature as a call, e.g. `(depth=..., T=4)`."""
    parts = []
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            parts.append("..." if parameter.kind == parameter.VAR_POSITIONAL else "name=...")
        else:
            plain = isinstance(parameter.default, (int, float, str, list, tuple, dict, type(None)))
            parts.append(f"{parameter.name}={repr(parameter.default) if plain else '...'}")
    return f"({', '.join(parts)})"


def parse(text: str) -> ModelSpec:
    """Read a name. Arguments are literals: nothing is executed. Raises UsageError."""
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        raise usage(text, FORM, repr(text), _EXAMPLE)
    try:
        call = ast.parse(found["call"], mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise usage(text, FORM, f"{text!r}: {reason}", "write the call as in Python, in quotes for the shell") from None
    if isinstance(call, ast.Name):
        return ModelSpec(text, found["place"], call.id)
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise usage(text, FORM, repr(text), _EXAMPLE)
    arguments = tuple(_literal(text, "", node) for node in call.args)
    options = {word.arg or "**": _literal(text, word.arg or "**", word.value) for word in call.keywords}
    if len(options) < len(call.keywords):
        raise usage(text, FORM, f"{text!r}: an argument is given twice", "give each argument once")
    return ModelSpec(text, found["place"], call.func.id, arguments, options)


def _literal(text: str, name: str, node: ast.expr) -> Any:
    """The value of an argument. Raises UsageError for whatever would have to be computed."""
    try:
        if name != "**":
            return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        pass
    have = f"{name}{'=' if name.isidentifier() else ''}{ast.unparse(node)}"
    raise usage(text, f"arguments that are literals: {_LITERALS}", have, "write the value itself; nothing is computed")


def usage(spec: str, need: str, have: str, mend: str, source: str = "") -> UsageError:
    """The error of a name that leads to no model."""
    return UsageError(Finding("ND-F202", spec, need, have, mend, source))
