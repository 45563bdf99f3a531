"""torch.export on torch 2.3 and later, to one form: FX nodes of the torch dialect and their constants."""

from __future__ import annotations

import inspect
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from neurodeploy.errors import Finding, Terminated, UnsupportedModelError
from neurodeploy.frontend.places import raised_at

# What torch says where tensors do not fit one another.
_RANK = "umber of dimensions"  # an image where event frames are taken, or the other way round
_OF_SHAPES = ("input of size", "broadcast", "must match", "channels", "of range", "multiplied", "reduction dim", _RANK)
_SIZE = (
    "use the size, channels and axes that the model was built for ([N, T, C, H, W] with its T for event frames); "
    "a patch embedding that halves k times needs a size that 2^k divides"
)
_IMAGE, _COLOURS = 4, (1, 3)
_CHANNELS_LAST = "these look like [N, H, W, C]: pass images.transpose(0, 3, 1, 2)"
_SQUARE = f"give square images: code such as reshape(T, B, C, W, H) takes height and width for each other; or {_SIZE}"
_LONGEST = 300  # characters of torch's own message that are worth reading


@dataclass(frozen=True)
class Exported:
    """The traced program: nodes that the output needs, in order; constants by placeholder name; the input's name.

    parameters: numbers in those parameters of the model that the output needs.
    """

    nodes: tuple[fx.Node, ...]
    constants: Mapping[str, torch.Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[Any, ...]
    container: str  # what forward puts its outputs in, "" for a tensor alone
    parameters: int


def export(root: nn.Module, example: torch.Tensor) -> Exported:
    """Export a module. Raises UnsupportedModelError with the first line of torch's own reason, its cause."""
    with tracing(tuple(example.shape)) as said:
        program = _program(root, example)
    sys.stderr.write(said.getvalue())
    return _read(program)


@contextmanager
def tracing(shape: tuple[int, ...]) -> Iterator[io.StringIO]:
    """Runs of forward on tensors without values. Raises UnsupportedModelError for whatever they raise."""
    try:
        with _quiet() as said, torch.no_grad():
            yield said
    except (KeyboardInterrupt, Terminated):
        raise
    except UnsupportedModelError as error:
        where = raised_at(error)
        raise UnsupportedModelError([replace(finding, source=where) for finding in error.findings]) from error
    except BaseException as error:  # torch.export raises anything, the model's code too, or exits
        raise UnsupportedModelError(_failure(error, shape)) from error


def _program(root: nn.Module, example: torch.Tensor) -> Any:
    if "strict" in inspect.signature(torch.export.export).parameters and hasattr(torch.library, "custom_op"):
        return torch.export.export(root, (example,), strict=False)
    from torch.export._trace import _export  # torch 2.3: the public one decomposes linear and matmul

    tracer = fx.proxy.TracerBase
    kept, tracer.record_stack_traces = tracer.record_stack_traces, True  # later versions record them always
    try:
        return _export(root, (example,), strict=False, pre_dispatch=True)
    finally:
        tracer.record_stack_traces = kept


def _failure(error: BaseException, shape: tuple[int, ...]) -> Finding:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    have = f"{type(error).__name__}: {lines[0][:_LONGEST] if lines else 'no message'}"
    need = "a model that torch.export can trace at batch 1"
    mend = "no branch or shape may depend on the data, and forward takes one tensor; run it on the example to check"
    if isinstance(error, ImportError):
        need = f"the module {error.name or ''} that forward imports".replace("  ", " ")
        mend = "install its package; an import at the top of the model's file, not inside forward, may do without"
    elif any(part in have for part in _OF_SHAPES):
        need = f"a model that runs on an example of shape {list(shape)}"
        mend = _SQUARE if shape[-1] != shape[-2] else _SIZE
        mend = _CHANNELS_LAST if len(shape) == _IMAGE and shape[-1] in _COLOURS else mend
    return Finding("ND-F005", "", need, have, mend, raised_at(error))


@contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Keep torch's log, warnings and dump of a failing export from a user who gets one clear error.

    Yields what was written to stderr meanwhile, also by the model's own code.
    """
    log = logging.getLogger("torch")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()) as said:
            warnings.simplefilter("ignore")
            yield said
    finally:
        log.setLevel(level)


def _read(program: Any) -> Exported:
    signature = program.graph_signature
    state = {**program.state_dict, **getattr(program, "constants", {})}
    kept = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    kept.update(getattr(signature, "inputs_to_lifted_tensor_constants", {}))
    constants = {name: state[target] for name, target in kept.items() if target in state}
    end = next(node for node in program.graph.nodes if node.op == "output")
    outputs = tuple(end.args[0]) if isinstance(end.args[0], (tuple, list)) else (end.args[0],)
    mutated = len(outputs) - len(signature.user_outputs)  # buffers that the model writes come first
    user = tuple(signature.user_inputs)
    nodes = _live(program.graph.nodes, outputs)
    container = _container(program.call_spec.out_spec)
    read = {signature.inputs_to_parameters[n.name] for n in nodes if n.name in signature.inputs_to_parameters}
    return Exported(nodes, constants, user, outputs[mutated:], container, sum(state[name].numel() for name in read))


def _container(spec: Any) -> str:
    """The name of a pytree's type, "" for a leaf."""
    return "" if spec.type is None else str(getattr(spec.type, "__name__", spec.type))


def _live(nodes: Any, outputs: tuple[Any, ...]) -> tuple[fx.Node, ...]:
    """The computing nodes that an output needs, and those that write into their input."""
    needed = {node for node in outputs if isinstance(node, fx.Node)}
    for node in reversed(list(nodes)):
        if node in needed or _writes(node):
            needed.add(node)
            needed.update(node.all_input_nodes)
    return tuple(node for node in nodes if node in needed and node.op != "output")


def _writes(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and schema.is_mutable
