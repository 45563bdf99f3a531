"""Reading neurons: SpikingJelly's by class name and attributes, without importing it; everything else is refused.

Facts of the classes: SpikingJelly 0.0.0.0.12 `clock_driven.neuron` (MultiStep*) and 2.0 `activation_based.neuron`.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neurodeploy.errors import Finding
from neurodeploy.frontend.places import short

KINDS = {
    **dict.fromkeys(("LIFNode", "MultiStepLIFNode", "SimpleLIFNode"), "lif"),
    **dict.fromkeys(("ParametricLIFNode", "MultiStepParametricLIFNode"), "plif"),
    **dict.fromkeys(("IFNode", "MultiStepIFNode", "SimpleIFNode"), "if"),
}
LIBRARIES = frozenset({"bindsnet", "braincog", "lava", "norse", "rockpool", "sinabs", "slayer", "snntorch"})
BASES = frozenset({"BaseNode", "SimpleBaseNode", "NonSpikingBaseNode", "SpikingNeuron", "SNNCell"})
METHODS = ("neuronal_charge", "neuronal_fire", "neuronal_reset")
HARMLESS = frozenset({"__init__", "__repr__", "__setstate__", "extra_repr", "supported_backends"})
_POTENTIALS = (-1e6, -2.0, -0.5, -1e-7, -0.0, 0.0, 1e-7, 0.3, 2.0, 1e6)  # over threshold; 0 reaches it
_LOWEST = -700.0  # of a learned w: exp(-w) is no float64 beyond
_SINGLE = "where forward is one time step, pass steps=T; else set step_mode='m' and give it the sequence [T, N, ...]"
STATELESS = ("Dropout", "DropConnect")  # SpikingJelly's keep a mask, in training only


@dataclass(frozen=True)
class Neuron:
    """A LIF or IF population, its membrane counted from the reset potential.

    decay: 1/tau, 0 for IF.  threshold: v_threshold - v_reset.  decay_input: whether the input is scaled by decay too.
    """

    decay: float
    threshold: float
    decay_input: bool


@dataclass(frozen=True)
class Reading:
    """What was read from one neuron module: the neuron, or what is wrong with it."""

    path: str
    neuron: Neuron | None
    findings: tuple[Finding, ...] = ()


def looks_like_neuron(module: nn.Module) -> bool:
    """Whether a module keeps spiking state that a trace would unroll or lose."""
    ancestry = type(module).__mro__
    if any(cls.__name__ in BASES or cls.__name__ in KINDS for cls in ancestry):
        return True
    if any(callable(getattr(type(module), method, None)) for method in METHODS):
        return True
    if any(cls.__name__ == "MemoryModule" for cls in ancestry):
        return bool(getattr(module, "_memories", None)) and not type(module).__name__.startswith(STATELESS)
    foreign = any(cls.__module__.split(".")[0] in LIBRARIES for cls in ancestry)
    return foreign and not any(True for _ in module.children())


def takes_single_steps(module: nn.Module) -> bool:
    """Whether a neuron takes one step [N, ...] a call: SpikingJelly's step_mode "s", the only one of older classes."""
    multi = any(cls.__name__.startswith("MultiStep") for cls in type(module).__mro__)
    return not multi and getattr(module, "step_mode", "s") != "m"


def read(path: str, module: nn.Module, parent: nn.Module, single: bool = False) -> Reading:
    """Read a module that looks like a neuron; the findings name everything that cannot be deployed.

    single: whether the model is run step by step, so that its neurons may take single steps.
    """
    source, known = place_of(path, parent), _known(module)
    problems = [*_problems(module, known)]
    if known and not single and takes_single_steps(module):
        problems.append(("a multi-step neuron", "step_mode 's'", _SINGLE))
    findings = tuple(Finding("ND-F001", path, need, have, mend, source) for need, have, mend in problems)
    return Reading(path, None if findings else _neuron(module), findings)


def _known(module: nn.Module) -> type | None:
    """The first class of the ancestry that SpikingJelly itself defines and that is in the table."""
    for cls in type(module).__mro__:
        if cls.__name__ in KINDS and cls.__module__.split(".")[0] == "spikingjelly":
            return cls
    return None


def _problems(module: nn.Module, known: type | None) -> Iterator[tuple[str, str, str]]:
    """(need, have, next) of everything that is wrong with a neuron."""
    name = f"{type(module).__module__}.{type(module).__qualname__}"
    if known is None:
        yield ("a SpikingJelly LIFNode, ParametricLIFNode or IFNode", name, "replace the neuron and train again")
        return
    changed = sorted(_changed(module, known))
    if changed:
        mend = f"use {known.__name__} itself: the lowering of its equation would not be that of the subclass"
        yield (f"{known.__name__} as SpikingJelly defines it", f"{name} with its own {', '.join(changed)}", mend)
    yield from _mode_problems(module)
    yield from _potential_problems(module)
    yield from _decay_problems(module, KINDS[known.__name__])


def _changed(module: nn.Module, known: type) -> Iterator[str]:
    """What a subclass, the instance or a hook adds to the known class's behaviour."""
    ancestry = type(module).__mro__
    for cls in ancestry[: ancestry.index(known)]:
        yield from (k for k, v in vars(cls).items() if callable(v) and k not in HARMLESS)
    yield from (k for k, v in vars(module).items() if callable(v) and hasattr(type(module), k))
    yield from (kind for kind in ("_forward_hooks", "_forward_pre_hooks") if getattr(module, kind, None))


def _mode_problems(module: nn.Module) -> Iterator[tuple[str, str, str]]:
    if getattr(module, "store_v_seq", False):
        yield ("store_v_seq off", "store_v_seq True", "set store_v_seq=False; probes give the membrane")
    surrogate = getattr(module, "surrogate_function", None)
    if not getattr(surrogate, "spiking", True):
        yield ("a neuron that spikes", "surrogate_function.spiking False", "set spiking=True")
    elif surrogate is not None and not _is_step(surrogate):
        kind = getattr(surrogate, "__qualname__", type(surrogate).__qualname__)
        need = "a surrogate function whose forward is 1 from 0 on, else 0"
        yield (
            need,
            f"surrogate_function {kind}, which gives something else",
            "train with one of SpikingJelly's surrogates",
        )
    if getattr(module, "_neuron_precision", None) is not None:
        yield ("a neuron of the model's own precision", "a reduced neuron precision", "switch it off")


def _is_step(surrogate: Any) -> bool:
    """Whether the forward of a surrogate function is the step function, at values far from and close to the step."""
    x = torch.tensor(_POTENTIALS)
    try:
        with torch.no_grad():
            return torch.equal(surrogate(x), (x >= 0).to(x))
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return False


def _potential_problems(module: nn.Module) -> Iterator[tuple[str, str, str]]:
    """Threshold, reset potential and the start of the membrane."""
    reset, threshold = getattr(module, "v_reset", None), getattr(module, "v_threshold", None)
    start = getattr(module, "_memories_rv", {}).get("v", reset)
    if reset is None:
        yield ("a hard reset", "a soft reset (v_reset None)", "train with v_reset=0.0")
    elif not _is_number(reset):
        yield ("a reset potential that is a finite number", _shown(reset), "use a finite float v_reset")
    elif not (_is_number(start) and start == reset):
        have = f"v_reset {reset} and a start at {_shown(start)}"
        yield ("a membrane that starts at v_reset", have, "use LIFNode with its own start, or v_reset=0.0")
    if not _is_number(threshold):
        yield ("one threshold for the layer, a finite number", _shown(threshold), "use a finite float v_threshold")
    elif _is_number(reset) and not 0 < threshold - reset <= sys.float_info.max:  # type: ignore[operator]
        yield ("a threshold above the reset potential", f"{threshold} and {reset}", "check the neuron's parameters")


def _decay_problems(module: nn.Module, kind: str) -> Iterator[tuple[str, str, str]]:
    """The time constant: tau of a LIF, w of a parametric one, nothing of an IF."""
    if kind == "lif":
        tau = getattr(module, "tau", None)
        if not _is_number(tau):
            yield ("one time constant for the layer, a finite number", f"tau {_shown(tau)}", "use a finite float tau")
        elif tau < 1:  # type: ignore[operator]
            yield ("a time constant of at least one step", f"tau {tau}", "use a tau of 1.0 or more")
    if kind == "plif":
        weight = getattr(module, "w", None)
        if not isinstance(weight, torch.Tensor) or weight.numel() != 1:
            have = f"{weight.numel()} of them" if isinstance(weight, torch.Tensor) else f"w {_shown(weight)}"
            yield ("one time constant for the layer", have, "use a scalar parameter")
        elif not _learned_decay(weight) > 0:  # NaN too
            need, have = "a finite time constant, tau = 1 / sigmoid(w)", f"w {float(weight.detach())}"
            yield (need, have, "train again, or set w so that tau is what you mean")


def _is_number(value: object) -> bool:
    """Whether a value is a finite number of Python (those of NumPy that are no float of Python are none)."""
    return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max


def _shown(value: object) -> str:
    return str(value) if isinstance(value, float) else type(value).__name__


def _learned_decay(weight: torch.Tensor) -> float:
    """1 / tau of a parametric neuron: the layer learns w, tau = 1 / sigmoid(w). 0 for a w that gives no finite tau."""
    w = float(weight.detach())
    return 1.0 / (1.0 + math.exp(-w)) if w > _LOWEST else 0.0


def _neuron(module: Any) -> Neuron:
    """The parameters of a module that has no problems."""
    known = _known(module)
    kind = KINDS[known.__name__] if known else ""
    decay = 0.0
    if kind == "lif":
        decay = 1.0 / float(module.tau)
    if kind == "plif":
        decay = _learned_decay(module.w)
    scaled = kind != "if" and bool(getattr(module, "decay_input", True))
    return Neuron(decay, float(module.v_threshold) - float(module.v_reset), scaled)


def place_of(path: str, parent: nn.Module) -> str:
    """`file:line` where the parent's code first speaks of the child, or of the parent's class ("" if unknown)."""
    kind: Any = type(parent)
    try:
        lines, first, file = _code(kind)
    except (OSError, TypeError):
        return ""
    attribute = f"self.{path.rpartition('.')[2]}"
    line = next((i for i, text in enumerate(lines) if attribute in text), 0)
    return f"{short(Path(file))}:{first + line}"


@lru_cache(maxsize=64)
def _code(kind: type) -> tuple[list[str], int, str]:
    """Lines of a class, number of the first, and file; finding them parses the file, and models repeat classes."""
    return *inspect.getsourcelines(kind), inspect.getsourcefile(kind) or ""
