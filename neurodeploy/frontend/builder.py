"""Builds canonical graphs: every method makes a node in normal form, so that no later pass has to clean up.

Normal form: views (reshape, permute) stand after the element-wise ops that read them, chains of views are one or two
nodes, reduces read no permute, slices stand before the views that they read, and the mean over time comes last, for a
linear map commutes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurodeploy.frontend import views
from neurodeploy.ir.graph import Node, Source
from neurodeploy.ir.infer import IllegalNode, require
from neurodeploy.ir.ops import OPS
from neurodeploy.ir.types import ValueType

LARGEST, LEAST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_subnormal)  # beside 0
VIEWS = ("reshape", "permute")
LINEAR = frozenset({"add", "batchnorm", "conv", "permute", "reduce_mean", "reduce_sum", "reshape", "scale", "slice"})


class Builder:
    """Makes nodes of a traced graph. Every method returns a value's name, and raises IllegalNode on an illegal node."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._views: dict[tuple[object, ...], str] = {}

    def make(
        self, op: str, inputs: tuple[str, ...], attributes: Mapping[str, Any], source: Source, **tensors: Any
    ) -> str:
        """A node as it is, except that a mean over time among its inputs moves behind it."""
        means = [name for name in inputs if self.nodes[name].op == "time_mean"]
        if means:
            have = f"{op} after it" if len(means) == len(inputs) else f"{op} with a value of single steps"
            linear = op in LINEAR and len(means) == len(inputs)
            require(linear, "only linear layers after the mean over time", have)
            before = tuple(self.nodes[name].inputs[0] for name in inputs)
            return self.time_mean(self.again(op, before, attributes, source, tensors), self.nodes[inputs[0]].source)
        name = f"v{len(self.nodes)}"
        node = Node(op, name, inputs, attributes, tensors, source)
        types = tuple(ValueType(self.shapes[i]) for i in inputs)
        self.shapes[name] = OPS[op].types(node, types, 1).shape
        self.nodes[name] = node
        return name

    def again(
        self,
        op: str,
        inputs: tuple[str, ...],
        attributes: Mapping[str, Any],
        source: Source,
        tensors: Mapping[str, Any],
    ) -> str:
        """The same op on other inputs, in normal form."""
        if op == "reshape":
            return self.reshape(inputs[0], attributes["shape"], source)
        if op == "permute":
            return self.permute(inputs[0], attributes["axes"], source)
        if op == "slice":
            return self.slice(inputs[0], attributes["axis"], attributes["start"], attributes["stop"], source)
        if op in ("reduce_sum", "reduce_mean"):
            return self.reduce(op, inputs[0], attributes["axes"], bool(attributes["keepdims"]), source)
        if op == "batchnorm":
            return self.batchnorm(inputs[0], source, **tensors)
        if op == "add":
            return self.add(inputs[0], inputs[1], source)
        return self.make(op, inputs, attributes, source, **tensors)

    def view(self, like: Node, x: str) -> str:
        """The view of another node, on x."""
        return self.again(like.op, (x,), like.attributes, like.source, {})

    def reshape(self, x: str, shape: tuple[int, ...], source: Source) -> str:
        """x in another shape; a chain of reshapes is one."""
        if self.nodes[x].op == "reshape":
            return self.reshape(self.nodes[x].inputs[0], shape, source)
        return x if self.shapes[x] == shape else self._viewed("reshape", x, {"shape": shape}, source)

    def permute(self, x: str, axes: tuple[int, ...], source: Source) -> str:
        """x with its axes in another order; permutes around a reshape that splits or merges axes are one."""
        shape, node = self.shapes[x], self.nodes[x]
        moved = [axis for axis in axes if shape[axis] != 1]
        if moved == sorted(moved):
            return self.reshape(x, tuple(shape[axis] for axis in axes), source)
        if node.op == "permute":
            inner = node.integers("axes")
            return self.permute(node.inputs[0], tuple(inner[axis] for axis in axes), source)
        if node.op == "reshape" and self.nodes[node.inputs[0]].op == "permute":
            folded = self._folded(self.nodes[node.inputs[0]], self.shapes[node.inputs[0]], shape, axes, source)
            if folded:
                return folded
        return self._viewed("permute", x, {"axes": axes}, source)

    def _folded(
        self, inner: Node, middle: tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...], source: Source
    ) -> str | None:
        """permute(reshape(permute(y))) as two views, where the reshape splits or merges whole axes; else None."""
        (y,), first = inner.inputs, inner.integers("axes")
        split = views.groups(middle, shape)
        if split:
            parts, order = views.split_first(first, split, axes)
            wide = self.reshape(y, tuple(shape[axis] for axis in parts), inner.source)
            return self.permute(wide, order, source)
        merge = views.groups(shape, middle)
        if merge:
            order = tuple(first[axis] for out in axes for axis in merge[out])
            return self.reshape(self.permute(y, order, inner.source), tuple(shape[axis] for axis in axes), source)
        return None

    def slice(self, x: str, axis: int, start: int, stop: int, source: Source) -> str:
        """x[start:stop] along an axis; a chain of slices is one an axis, the lowest axis first."""
        node, shape = self.nodes[x], self.shapes[x]
        if (start, stop) == (0, shape[axis]):
            return x
        if node.op == "slice" and node.integer("axis") == axis:
            first = node.integer("start")
            return self.slice(node.inputs[0], axis, first + start, first + stop, source)
        if node.op == "slice" and node.integer("axis") > axis:
            return self.view(node, self.slice(node.inputs[0], axis, start, stop, source))
        if node.op == "permute":
            return self.view(node, self.slice(node.inputs[0], node.integers("axes")[axis], start, stop, source))
        if node.op == "reshape":
            before = views.cut(self.shapes[node.inputs[0]], shape, axis, start, stop)
            if before:
                part = self.slice(node.inputs[0], *before, source)
                return self.reshape(part, (*shape[:axis], stop - start, *shape[axis + 1 :]), node.source)
        return self._viewed("slice", x, {"axis": axis, "start": start, "stop": stop}, source)

    def _viewed(self, op: str, x: str, attributes: Mapping[str, Any], source: Source) -> str:
        key = (op, x, *attributes.values())
        if key not in self._views:
            self._views[key] = self.make(op, (x,), attributes, source)
        return self._views[key]

    def elementwise(self, op: str, x: str, attributes: Mapping[str, Any], source: Source) -> str:
        """A neuron or a scale: moved in front of the views that it reads."""
        node = self.nodes[x]
        if node.op in VIEWS:
            return self.view(node, self.elementwise(op, node.inputs[0], attributes, source))
        return self.make(op, (x,), attributes, source)

    def complement(self, x: str, source: Source) -> str:
        """1 - x, in front of the views that it reads; twice is x."""
        node = self.nodes[x]
        return node.inputs[0] if node.op == "complement" else self.elementwise("complement", x, {}, source)

    def scale(self, x: str, factor: float, source: Source) -> str:
        """factor times x; a chain of scales is one, and a factor of one is none."""
        held = factor == 0 or LEAST <= abs(factor) <= LARGEST
        require(held, f"a finite factor of {LEAST:.2g} .. {LARGEST:.2g}, also of scales in a row", factor)
        node = self.nodes[x]
        if node.op == "scale":
            return self.scale(node.inputs[0], factor * node.number("factor"), node.source)
        if node.op == "time_mean":
            return self.time_mean(self.scale(node.inputs[0], factor, source), node.source)
        return x if factor == 1.0 else self.elementwise("scale", x, {"factor": factor}, source)

    def matmul(self, a: str, b: str, source: Source) -> str:
        """a times b; a scale of an operand moves behind it, to the neuron that it belongs to (SSA)."""
        (left, m), (right, n) = self._unscaled(a), self._unscaled(b)
        return self.scale(self.make("matmul", (left, right), {}, source), m * n, source)

    def _unscaled(self, x: str) -> tuple[str, float]:
        """x without the scale under its views, and the factor."""
        node = self.nodes[x]
        if node.op == "scale":
            return node.inputs[0], node.number("factor")
        if node.op in VIEWS:
            inner, factor = self._unscaled(node.inputs[0])
            return (x, 1.0) if inner == node.inputs[0] else (self.view(node, inner), factor)
        return x, 1.0

    def batchnorm(self, x: str, source: Source, **tensors: Any) -> str:
        """Scale and shift along axis 0, moved in front of views that leave that axis in place."""
        node = self.nodes[x]
        if node.op in VIEWS and self._keeps_channels(node):
            return self.view(node, self.batchnorm(node.inputs[0], source, **tensors))
        return self.make("batchnorm", (x,), {}, source, **tensors)

    def _keeps_channels(self, view: Node) -> bool:
        if view.op == "permute":
            return view.integers("axes")[0] == 0
        before, after = self.shapes[view.inputs[0]], self.shapes[view.name]
        return bool(before) and bool(after) and before[0] == after[0]

    def add(self, a: str, b: str, source: Source) -> str:
        """a + b, moved in front of a view that both have."""
        left, right = self.nodes[a], self.nodes[b]
        same = left.op in VIEWS and left.op == right.op and left.attributes == right.attributes
        if same and self.shapes[left.inputs[0]] == self.shapes[right.inputs[0]]:
            return self.view(left, self.add(left.inputs[0], right.inputs[0], source))
        return self.make("add", (a, b), {}, source)

    def reduce(self, op: str, x: str, axes: tuple[int, ...], keepdims: bool, source: Source) -> str:
        """A sum or mean over axes, moved in front of a permute."""
        node = self.nodes[x]
        if node.op == "permute":
            order = node.integers("axes")
            inner = self.reduce(op, node.inputs[0], tuple(sorted(order[a] for a in axes)), keepdims, source)
            left = [axis for i, axis in enumerate(order) if keepdims or i not in axes]
            return self.permute(inner, tuple(sorted(left).index(axis) for axis in left), node.source)
        return self.make(op, (x,), {"axes": axes, "keepdims": int(keepdims)}, source)

    def time_mean(self, x: str, source: Source) -> str:
        """The mean over the time steps."""
        if self.nodes[x].op == "time_mean":
            raise IllegalNode("one mean over time", "a second one")
        return self.make("time_mean", (x,), {}, source)
