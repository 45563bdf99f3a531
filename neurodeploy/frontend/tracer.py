"""trace(): a PyTorch model becomes a canonical float graph, and stays as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neurodeploy.errors import Finding, UnsupportedModelError, UsageError
from neurodeploy.frontend.coupling import merged
from neurodeploy.frontend.export import export, tracing
from neurodeploy.frontend.lower import Lowering, ordered
from neurodeploy.frontend.naming import named
from neurodeploy.frontend.neurons import looks_like_neuron
from neurodeploy.frontend.places import wants_sequence
from neurodeploy.frontend.sound import require_sound
from neurodeploy.frontend.square import swapped_axes
from neurodeploy.frontend.state import kept_state, rested
from neurodeploy.frontend.swap import read_neurons, swapped
from neurodeploy.frontend.timeloop import TimeLoop, time_loop
from neurodeploy.ir.graph import Graph, Stage, topological
from neurodeploy.ir.passes import remove_dead, run_passes

PARAMETERS = "parameters"  # metadata: JSON of how many the model has, and how many of them its output needs
COUPLED = "batch_coupled"  # metadata: JSON list of the LIFs that run across the samples of a batch in the model's code
TIME_LOOP = "time_loop"  # metadata: how a model that makes no time steps itself takes them
READ_OUT = "read_out"  # metadata: how the logits come about, where forward leaves that to its caller
_TIMELESS = "pass steps=T (--steps T): the model takes the sequence [T, N, C, H, W] and makes no time steps itself"
_SHOWN = 4  # module names in a message
_IMAGE, _EVENTS = 4, 5  # ranks of [N, C, H, W] and [N, T, C, H, W]


def trace(
    model: nn.Module, example_input: NDArray[Any] | torch.Tensor, name: str | None = None, steps: int | None = None
) -> Graph:
    """Trace a model in eval mode into a graph of stage TRACED, verified, names and sources from the user's code.

    example_input: [N, C, H, W], or events [N, T, C, H, W]; only the shape of the first sample counts.
    name: of the graph; the class of the model by default.
    steps: T, for a model that makes no time steps itself: it takes [T, N, C, H, W], or one step at a time.
    Logits of each step, [T, N, classes], are averaged over T.
    The model is left as it was: weights, modules, training flags and membranes.
    Raises UsageError for what is no module, an example of another shape or a wrong number of steps,
    UnsupportedModelError with all findings for the rest.
    """
    model = _module(model)
    require_sound(model)
    example = _example(model, example_input)
    loop = time_loop(model, steps, tuple(example.shape))
    readings = read_neurons(model, single=loop is not None and loop.single)
    findings = [*_training(model), *_root(model)]
    try:
        with swapped(model, loop) as root:
            with rested(root.model):
                exported = export(root, loop.frame(example) if loop else example)
            with rested(root.model), tracing(tuple(example.shape)):
                findings += kept_state(root.model, *_calls(example, loop))
                mixed = [] if loop and loop.single else merged(root, example)
    except UnsupportedModelError as error:
        findings += (finding for reading in readings.values() for finding in reading.findings)
        untimed = loop is None and wants_sequence(error.__cause__)
        own = (replace(finding, next=_TIMELESS) for finding in error.findings) if untimed else error.findings
        raise UnsupportedModelError(dict.fromkeys(findings or own)) from None
    single, events = loop is not None and loop.single, example.ndim == _EVENTS
    steps = int(example.shape[1]) if events else steps if single else None
    lowering = Lowering(exported, readings, steps, events, single)
    output = lowering.run()
    findings += (f for path, reading in readings.items() if path in lowering.calls for f in reading.findings)
    findings += [*swapped_axes(lowering.build), *lowering.findings]
    if findings or output is None:
        raise UnsupportedModelError(dict.fromkeys(findings))  # a line that runs in a loop is named once
    nodes = topological(ordered(lowering.build))
    learned = sum(p.numel() for path in lowering.calls for p in model.get_submodule(path).parameters())  # tau of a PLIF
    counts = {"model": sum(p.numel() for p in model.parameters()), "needed": exported.parameters + learned}
    facts = {COUPLED: json.dumps(mixed), PARAMETERS: json.dumps(counts)}
    facts |= {TIME_LOOP: loop.kind} if loop else {}
    returned = "[N, classes] of each step" if loop and loop.single else "[T, N, classes]"
    facts |= {READ_OUT: f"mean over T of the model's {returned}"} if lowering.averaged else {}
    graph = Graph(name or type(model).__name__, Stage.TRACED, lowering.steps or 1, nodes, output, metadata=facts)
    return run_passes(graph, (remove_dead, partial(named, model=model)))


def _calls(example: torch.Tensor, loop: TimeLoop | None) -> tuple[torch.Tensor, bool, bool]:
    """What the model itself is called with, whether a call is one time step, and whether each step sees the same."""
    if loop is None:
        return example, False, False
    return loop.frame(example) if loop.single else loop.sequence(example), loop.single, example.ndim != _EVENTS


def _module(given: Any) -> nn.Module:
    """The model, out of what torch.compile wrapped around it. Raises UsageError."""
    model = getattr(given, "_orig_mod", given)
    if not isinstance(model, nn.Module):
        finding = Finding("ND-F009", "model", "a torch.nn.Module", type(given).__name__, "pass the model itself")
        raise UsageError(finding)
    return model


def _example(model: nn.Module, given: Any) -> torch.Tensor:
    """The first sample, on the device and in the float type of the model. Raises UsageError."""
    have = f"{type(given).__name__} of shape {tuple(getattr(given, 'shape', ()))}"
    if not isinstance(given, (np.ndarray, torch.Tensor)) or given.ndim not in (_IMAGE, _EVENTS) or 0 in given.shape:
        need = "an array [N, C, H, W], or events [N, T, C, H, W], of at least one sample"
        raise UsageError(Finding("ND-F007", "example_input", need, have, "give one sample of the data set"))
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    return torch.as_tensor(given[:1]).detach().to(device=parameter.device, dtype=parameter.dtype)


def _training(model: nn.Module) -> list[Finding]:
    """One finding that names the modules whose training mode changes what they compute."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    modules = [(path, module) for path, module in model.named_modules() if module.training]
    paths = [path for path, module in modules if isinstance(module, kinds) or "Drop" in type(module).__name__]
    if not paths and not model.training:
        return []
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    have = f"train mode: {', '.join(paths[:_SHOWN]) if paths else type(model).__name__}{more}"
    need = "a model in eval mode, for batch norm and dropout differ in training"
    return [Finding("ND-F008", paths[0] if paths else "", need, have, "call model.eval() first")]


def _root(model: nn.Module) -> list[Finding]:
    if not looks_like_neuron(model):
        return []
    have = f"one neuron, {type(model).__name__}"
    return [Finding("ND-F014", "", "a network with layers", have, "trace the module that holds the neuron")]
