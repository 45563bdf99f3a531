"""From exported FX nodes to a canonical graph, with one finding for everything that has no lowering."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from neurodeploy.errors import Finding
from neurodeploy.frontend.aten import HANDLERS, VIEWS
from neurodeploy.frontend.axes import Value
from neurodeploy.frontend.builder import Builder
from neurodeploy.frontend.call import Call
from neurodeploy.frontend.export import Exported
from neurodeploy.frontend.fold import folded
from neurodeploy.frontend.neurons import Neuron, Reading
from neurodeploy.frontend.places import source_of
from neurodeploy.ir.graph import Node, Source
from neurodeploy.ir.infer import IllegalNode

_WHOLE = "all neurons run over the same T steps: keep the time axis whole, [T, B, ...]"
_ONE_MINUS = "1 - x lowers; for a - b, give the layer that makes b the negative weights, and add"
_MENDS: Mapping[str, str] = {
    **dict.fromkeys(("flatten", "repeat", "expand", "reshape", "slice", "unflatten", "view"), _WHOLE),
    "batch_norm": "call model.eval() first, and check the running statistics",
    "dropout": "call model.eval() first; in code of your own, F.dropout(x, p, training=self.training)",
    "neuron": "bring the tensor to [T, B, ...] before the neuron: else its membrane runs across the samples of a batch",
    **dict.fromkeys(("sub", "rsub"), _ONE_MINUS),
    "select": "give the neuron the whole sequence; single time steps cannot be taken out",
    "layer_norm": "use batch norm: its scale and shift fold into weights and thresholds",
    "softmax": "use spiking self-attention or Q-K attention, which need no softmax",
    "gelu": "use a spiking neuron as the activation",
    "relu": "use a spiking neuron as the activation",
}
_MEND = "write the layer with the ops that lower: convolution, linear, batch norm, neuron, max-pool, +, *, @, sum, mean"


class Lowering:
    """One walk over the exported nodes. `findings` holds what is wrong, `result` the output where all is right."""

    def __init__(
        self, exported: Exported, readings: Mapping[str, Reading], steps: int | None, events: bool, single: bool
    ) -> None:
        self.exported, self.steps, self.events, self.single = exported, steps, events, single
        self.neurons: dict[str, Neuron] = {p: r.neuron or Neuron(0.0, 1.0, False) for p, r in readings.items()}
        self.build = Builder()
        self.findings: list[Finding] = []
        self._values: dict[fx.Node, Any] = {}  # a Value, a constant tensor, a tuple of these; None where refused
        self.calls: Counter[str] = Counter()
        self.averaged = False  # whether the mean over time is not forward's own

    def run(self) -> str | None:
        """Lower everything; the name of the output value, or None where findings stand in the way."""
        for node in self.exported.nodes:
            self._values[node] = self._placed(node) if node.op != "call_function" else self._lowered(node)
        output = self._output()
        return None if self.findings or output is None else output.name

    def _placed(self, node: fx.Node) -> Value | torch.Tensor | None:
        """A placeholder: the image, or a constant of the model."""
        if node.name not in self.exported.inputs:
            return self.exported.constants.get(node.name)
        shape = shape_of(node)
        time = 1 if self.events and not self.single else None
        op, frame = "events" if self.events else "input", shape[1:] if time is None else shape[2:]
        return Value(self.build.make(op, (), {"shape": frame}, Source("input")), shape, time, 0)

    def _lowered(self, node: fx.Node) -> Any:
        constant = folded(node, self._values)
        if constant is not None:
            return constant
        name, source = op_name(node), source_of(node.meta)
        in_place = name.endswith("_") and _may_be_written(node)
        handler = HANDLERS.get(name.rstrip("_") if in_place else name)
        if handler is None:
            self._refuse(node, "ND-F004", name, "an op with a lowering", str(node.target))
            return None
        arguments = {key: self._resolved(value) for key, value in bound(node).items()}
        if name == "neuron":
            self._count(arguments["path"], node)
        if any(isinstance(value, fx.Node) for value in arguments.values()):
            return None  # what it reads has a finding already
        call = Call(arguments, shape_of(node), self.steps or 1, self.neurons, self.build, source, self.single)
        try:
            value = handler(call)
        except IllegalNode as error:
            self._refuse(node, "ND-F003", name, error.need, error.have, error.mend)
            return None
        if in_place:  # whoever reads the written tensor from now on reads the result
            self._values[node.all_input_nodes[0]] = value
        return value if isinstance(value, tuple) else self._timed(node, value)

    def _timed(self, node: fx.Node, value: Value) -> Value | None:
        """Learn T from the first value that has a time axis of more than one step."""
        length = None if value.time is None else value.shape[value.time]
        if self.single and length not in (None, 1):
            self._refuse(node, "ND-F003", "repeat", "one time step, as forward is called", f"{length} of them")
            return None
        if length not in (None, 1, self.steps):
            if self.steps is not None:
                self._refuse(node, "ND-F003", "repeat", f"T = {self.steps} time steps", f"{length}")
                return None
            self.steps = length
        return value

    def _resolved(self, argument: Any) -> Any:
        """An FX argument as a value or a constant; it stays an FX node where there is none."""
        if not isinstance(argument, fx.Node):
            return argument
        value = self._values.get(argument)
        return argument if value is None else value

    def _count(self, path: str, node: fx.Node) -> None:
        self.calls[path] += 1
        if self.calls[path] == 2:
            need, have = "a neuron of its own at each place", f"{path} called again: its membrane would run on"
            where = source_of(node.meta)
            mend = "in a loop over time steps, use step_mode='m' on [T, N, ...]; else give each place its own neuron"
            self.findings.append(Finding("ND-F002", path, need, have, mend, str(where)))

    def _refuse(self, node: fx.Node, code: str, op: str, need: str, have: str, mend: str = "") -> None:
        source = source_of(node.meta)
        layer = source.path or op
        self.findings.append(Finding(code, layer, f"{op}: {need}", have, mend or _MENDS.get(op, _MEND), str(source)))

    def _output(self) -> Value | None:
        """The value that stands for the logits, averaged over time here where forward left that to its caller."""
        outputs = self.exported.outputs
        need = "one output: the logits [B, classes], or those of each step, [T, B, classes]"
        have = _returned(self.exported)
        value = None if have else self._values.get(outputs[0])
        if isinstance(value, Value):
            averaged = not self.single and self.build.nodes[value.name].op == "time_mean"
            if averaged and len(value.step_shape) == 1 and value.batch == 0:
                return value
            if len(value.step_shape) == 1 and (value.time, value.batch) == ((None, 0) if self.single else (0, 1)):
                self.averaged = True
                return Value(self.build.time_mean(value.name, Source()), value.shape[-2:], None, 0)
            have = f"shape {value.shape}, {'averaged' if averaged else 'not averaged'} over time"
        elif not have and self.findings:
            return None  # the reason is there already
        mend = "let forward return head(x).mean(0) or head(x.mean(0)) alone"
        self.findings.append(Finding("ND-F006", "", need, have, mend))
        return None


def _returned(exported: Exported) -> str:
    """What forward returns, where it is no tensor alone; else ""."""
    if exported.container:
        return f"{exported.container} of {len(exported.outputs)} outputs"
    (output,) = exported.outputs
    return "" if isinstance(output, fx.Node) else type(output).__name__


def _may_be_written(node: fx.Node) -> bool:
    """Whether nothing else shares the memory that an in-place op writes into: no view of it, nor it a view."""
    written = node.args[0] if node.args else None
    if not isinstance(written, fx.Node) or written.op != "call_function" or op_name(written) in VIEWS:
        return False
    if op_name(written) == "getitem" and op_name(written.args[0]) in VIEWS:  # type: ignore[arg-type]
        return False
    return not any(op_name(user) in VIEWS for user in written.users if user is not node)


def op_name(node: fx.Node) -> str:
    """The name of an FX node's op without name space and overload, e.g. `conv2d`."""
    if node.op != "call_function":
        return node.op
    if node.target is operator.getitem:
        return "getitem"
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return str(getattr(node.target, "__name__", node.target))
    return str(schema.name).split("::")[-1]


def bound(node: fx.Node) -> dict[str, Any]:
    """The arguments of an FX call by the names of its schema, with the defaults."""
    if node.target is operator.getitem:
        return {"self": node.args[0], "index": node.args[1]}
    arguments = node.target._schema.arguments  # type: ignore[union-attr]
    found = {a.name: a.default_value for a in arguments if a.has_default_value()}
    found.update(zip((a.name for a in arguments), node.args, strict=False))
    return {**found, **node.kwargs}


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """The shape of an FX node's (first) result."""
    value = node.meta.get("val")
    first = value[0] if isinstance(value, (tuple, list)) else value
    return tuple(int(n) for n in first.shape) if isinstance(first, torch.Tensor) else ()


def ordered(build: Builder) -> tuple[Node, ...]:
    """The nodes in the order in which they were made."""
    return tuple(build.nodes.values())
