"""What every model has to be before anything walks through it: a tree of modules, with values in its tensors."""

from __future__ import annotations

from itertools import chain

from torch import nn

from neurodeploy.errors import Finding, UnsupportedModelError

_SHOWN = 4  # tensor names in a message


def require_sound(model: nn.Module) -> None:
    """Raise UnsupportedModelError for a module inside itself, and for tensors without values (the meta device)."""
    circle = _circle(model)
    if circle is not None:
        need, mend = "modules that form a tree", "keep the reference outside the modules, e.g. in a tuple"
        raise UnsupportedModelError(Finding("ND-F011", circle, need, "a module inside itself", mend))
    empty = [name for name, tensor in chain(model.named_parameters(), model.named_buffers()) if tensor.is_meta]
    if empty:
        have = f"{len(empty)} on the meta device: {', '.join(empty[:_SHOWN])}{', ...' * (len(empty) > _SHOWN)}"
        mend = "build the model on the CPU, then load its weights"
        raise UnsupportedModelError(Finding("ND-F010", empty[0], "weights with values", have, mend))


def _circle(model: nn.Module) -> str | None:
    """The path where a module meets itself among those that hold it; None in a tree. Without recursion, for depth."""
    open_, done = {id(model)}, set[int]()
    stack = [(model, iter(model._modules.items()), "")]
    while stack:
        module, children, prefix = stack[-1]
        name, child = next(children, (None, None))
        if name is None:
            stack.pop()
            open_.discard(id(module))
            done.add(id(module))
        elif id(child) in open_:
            return f"{prefix}{name}"
        elif child is not None and id(child) not in done:
            open_.add(id(child))
            stack.append((child, iter(child._modules.items()), f"{prefix}{name}."))
    return None
