"""State that a model keeps besides its neurons: found by running forward twice on tensors that have shapes only.

Every tensor gets a name made of the op that computed it and the names of what that read, and remembers whether neurons
or inputs of the first or of the second call stand behind it. Without state, the second call gives the first one's name.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from neurodeploy.errors import Finding
from neurodeploy.frontend.places import short

Calls = frozenset[int]  # the calls of forward whose neurons or inputs a value depends on
State = dict[tuple[str, str], str]  # (module path, attribute): the value in words
_CONTAINERS = (list, dict, set, deque)
_OWN = frozenset({"_parameters", "_buffers", "_modules", "training"})  # what PyTorch keeps of a module
_DEEPEST = 6  # containers and objects in one another


@contextmanager
def rested(model: nn.Module) -> Iterator[None]:
    """The model as after `reset()` of its modules; in the end all its attributes are those of before.

    Tensors too, buffers and others, have their numbers again; parameters, which no forward writes, are not copied.
    """
    seen: set[int] = set()
    kept = [pair for module in model.modules() for pair in _contents(vars(module), seen)]
    try:
        reset(model)
        yield
    finally:
        with torch.no_grad():
            for held, content in kept:
                _put_back(held, content)


def _put_back(held: Any, content: Any) -> None:
    if isinstance(held, torch.Tensor):
        held.copy_(content)
        return
    held.clear()
    (held.update if isinstance(held, (dict, set)) else held.extend)(content)


def reset(model: nn.Module) -> None:
    """Membranes at rest, and whatever else reset() of the modules clears."""
    for module in model.modules():
        if callable(getattr(module, "reset", None)):
            module.reset()  # type: ignore[operator]


def _contents(value: Any, seen: set[int]) -> Iterator[tuple[Any, Any]]:
    """Each list, dict, set, deque and tensor in a value, with a copy of what it holds."""
    if id(value) in seen:
        return
    if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
        seen.add(id(value))
        yield value, value.detach().clone()
    if isinstance(value, _CONTAINERS):
        seen.add(id(value))
        inside = tuple(value.values() if isinstance(value, dict) else value)
        yield value, dict(value) if isinstance(value, dict) else inside
        for child in inside:
            yield from _contents(child, seen)


class Names(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Names what each op computes. `call` is the number of the running call of forward."""

    def __init__(self, model: nn.Module, fakes: FakeTensorMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.call = 1
        self._names: dict[int, tuple[str, Calls]] = {}
        self._written: dict[int, tuple[str, Calls]] = {}  # by storage
        self._memory: dict[int, int] = {}  # storages of parameters and buffers
        self._alive: list[Any] = []  # an id says something only as long as its object lives
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            self.name(tensor, name, frozenset())
            fake = fakes.from_tensor(tensor)  # what ops on it read, and views of it share memory with
            self._alive.append(fake)
            self._memory[id(tensor)] = fake.untyped_storage()._cdata

    def name(self, tensor: torch.Tensor, text: str, calls: Calls) -> None:
        """Give a tensor a name."""
        self._alive += [tensor, tensor.untyped_storage()]
        self._names[id(tensor)] = (hashlib.sha256(text.encode()).hexdigest(), calls)

    def of(self, tensor: torch.Tensor) -> tuple[str, Calls]:
        """The name of a tensor, with the last write into its memory, and the calls behind both."""
        if id(tensor) not in self._names:
            with unset_fake_temporarily():
                fake = isinstance(tensor, FakeTensor)
                self.name(tensor, "" if fake else _digest(tensor), frozenset())
        text, calls = self._names[id(tensor)]
        write, more = self._written.get(self._storage(tensor), ("", frozenset()))
        return f"{text} {write} {tuple(tensor.shape)}", calls | more

    def _storage(self, tensor: torch.Tensor) -> int:
        return self._memory.get(id(tensor)) or tensor.untyped_storage()._cdata

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The call itself, its results named."""
        flat, form = tree_flatten((args, kwargs or {}))
        read = [self.of(leaf) if isinstance(leaf, torch.Tensor) else (repr(leaf), frozenset()) for leaf in flat]
        text = f"{func} {form} {[name for name, _ in read]}"
        calls = frozenset[int]().union(*(behind for _, behind in read))
        if "neurodeploy::neuron" in str(getattr(func, "_schema", "")):
            calls |= {self.call}
        result = func(*args, **(kwargs or {}))
        self._write(func, args, kwargs or {}, text, calls)
        for place, leaf in enumerate(tree_flatten(result)[0]):
            if isinstance(leaf, torch.Tensor):
                self.name(leaf, f"{place} {text}", calls)
        return result

    def _write(self, func: Any, args: Any, kwargs: Mapping[str, Any], text: str, calls: Calls) -> None:
        given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | dict(kwargs)
        for argument in func._schema.arguments:
            written = given.get(argument.name)
            if argument.alias_info is not None and argument.alias_info.is_write and isinstance(written, torch.Tensor):
                self._written[self._storage(written)] = (hashlib.sha256(text.encode()).hexdigest(), calls)


def _digest(tensor: torch.Tensor) -> str:
    """The values of a constant that forward makes."""
    data = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(data.view(torch.uint8).numpy().tobytes()).hexdigest()


def kept_state(model: nn.Module, example: torch.Tensor, steps: bool, still: bool) -> list[Finding]:
    """One finding where a second call of forward computes something else than the first one; [] where it does not.

    model: its neurons swapped.  steps: whether the calls are time steps of one sample, `still` where they all read the
    same image; else the calls read samples of their own, with a reset between them.
    """
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as fakes, Names(model, fakes) as names:
        states, results = [_state(model, names)], []
        for call in (1, 2):
            names.call = call
            x = torch.empty(tuple(example.shape), dtype=example.dtype, device=example.device)
            names.name(x, "input", frozenset() if steps and still else frozenset({call}))
            results.append(_shown(model(x), names, set()))
            states.append(_state(model, names))
            if not steps:
                reset(model)
    before, first, second = states
    moving = [key for key in second if steps and first.get(key) != second[key]]
    if results[0] == results[1] and not moving:
        return []
    return [_finding(model, moving or [key for key in first if before.get(key) != first[key]], steps)]


def _finding(model: nn.Module, changed: list[tuple[str, str]], steps: bool) -> Finding:
    names = [f"{path}.{attribute}".lstrip(".") for path, attribute in dict.fromkeys(changed)]
    have = f"{', '.join(names)}: changed by forward" if names else "another result at the second call"
    need = "neurons alone keep state from one time step to the next" if steps else "a result of this sample alone"
    mend = "keep what runs over time in a neuron, or write the loop over time outside the model's layers"
    if not steps:
        mend = "keep no results of forward in attributes, or let reset() clear them"
    path, attribute = changed[0] if changed else ("", "")
    return Finding("ND-F015", path, need, have, mend, _line(model.get_submodule(path), attribute))


def _line(module: nn.Module, attribute: str) -> str:
    """`file:line` of forward where it first writes an attribute, or else speaks of it ("" if unknown)."""
    try:
        lines, start = inspect.getsourcelines(type(module).forward)
        file = inspect.getsourcefile(type(module)) or ""
    except (OSError, TypeError):
        return ""
    writes = rf"\.{attribute}\b\s*([-+*/]?=[^=]|\.(append|extend|\w+_)\()"
    for pattern in (writes, rf"\.{attribute}\b") if attribute else ():
        for place, text in enumerate(lines):
            if re.search(pattern, text):
                return f"{short(Path(file))}:{start + place}"
    return f"{short(Path(file))}:{start}"


def _state(model: nn.Module, names: Names) -> State:
    """All attributes of all modules, and their buffers, in words."""
    found: State = {}
    for path, module in model.named_modules():
        kept = {name: value for name, value in vars(module).items() if name not in _OWN}
        for name, value in {**kept, **module._parameters, **module._buffers}.items():
            found[path, name] = _shown(value, names, set())
    return found


def _shown(value: Any, names: Names, above: set[int]) -> str:
    """A value in words; a tensor by its name and by whether the running call alone stands behind it."""
    if isinstance(value, torch.Tensor):
        text, calls = names.of(value)
        return f"{text} {'now' if calls <= {names.call} else 'before'}"
    if isinstance(value, (int, float, str, bytes, complex, type(None))):
        return repr(value)
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()
    inside = None if id(value) in above or len(above) > _DEEPEST else _inside(value)
    if inside is None:
        return f"{type(value).__name__} {id(value)}"
    deeper = above | {id(value)}
    return f"{type(value).__name__}({', '.join(_shown(child, names, deeper) for child in inside)})"


def _inside(value: Any) -> Iterable[Any] | None:
    """What a container or an object of the user's own holds, None for everything else."""
    if isinstance(value, dict):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return list(value)
    plain = hasattr(value, "__dict__") and not isinstance(value, (nn.Module, type)) and not callable(value)
    return list(vars(value).values()) if plain else None
