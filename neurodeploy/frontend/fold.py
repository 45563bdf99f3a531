"""Arithmetic on parameters alone: evaluated once, while a model is lowered, by the ops of the model itself."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx


def folded(node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    """The result of an op that reads constants only: a tensor, or a tuple of them. None for every other op."""
    if not all(_is_constant(values.get(read)) for read in node.all_input_nodes) or not _is_pure(node.target):
        return None
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda read: values[read])
    try:
        with torch.no_grad():
            result = node.target(*args, **kwargs)  # type: ignore[operator]
    except (RuntimeError, TypeError, ValueError):
        return None  # whoever reads it is refused
    result = tuple(result) if isinstance(result, list) else result
    return result if _is_constant(result) else None


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(part, torch.Tensor) for part in value)
    return isinstance(value, torch.Tensor)


def _is_pure(target: Any) -> bool:
    """Whether an op of ATen writes into nothing and gives the same each time, which memory without values does not."""
    if target is operator.getitem:
        return True
    schema, tags = getattr(target, "_schema", None), getattr(target, "tags", ())
    if schema is None or not schema.name.startswith("aten::") or "empty" in schema.name:
        return False
    return not schema.is_mutable and torch.Tag.nondeterministic_seeded not in tags
