"""Every op but convolution as kernel calls: a node and the views of its inputs give the view of its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from neurodeploy.backends.native.recorder import Op, Recorder
from neurodeploy.backends.native.views import Type, View, loop, memory_order, type_of
from neurodeploy.ir.boxes import boxes
from neurodeploy.ir.graph import Node
from neurodeploy.ir.types import Interval, ValueType

SIGNED_BYTE_MAX = 127
TILE_OUTPUTS, TILE_GROUP = 32, 4  # OUTPUTS and GROUP of the extension


@dataclass
class Context:
    """What the lowering of a node may look at."""

    recorder: Recorder
    images: View  # [T, *shape] of float32; time stands still where a sample is an image


Lower = Callable[[Context, Node, Sequence[View], Sequence[Interval], ValueType], View]


def copied(recorder: Recorder, x: View, order: list[int], kind: Type) -> View:
    """The same value in memory of its own."""
    y = recorder.new(x.shape, order, kind, x.constant)
    recorder.map(Op.SET, x, y)
    return y


def encode(context: Context, node: Node, inputs: Sequence[View], spans: Sequence[Interval], known: ValueType) -> View:
    """Pixels as integers, channels innermost."""
    x = context.images
    order = [*range(2, len(x.shape)), 0, 1] if len(x.shape) > 1 else [0]
    y = context.recorder.new(x.shape, order, type_of(known.range), x.constant)
    once, target = x.once, y.once
    numbers = {"step": node.number("step"), "lo": float(node.integer("lo")), "hi": float(node.integer("hi"))}
    over = loop(target.shape, once.strides, target.strides, key=1)
    context.recorder.add("encode", {"x": once, "y": target}, loop=over, **numbers)
    return y


def _combined(recorder: Recorder, op: Op, a: View, b: View, kind: Type) -> View:
    """a op b, b repeated to the shape of a."""
    full = b if a.constant and not b.constant and a.shape == b.shape else a
    y = recorder.new(a.shape, memory_order(full), kind, a.constant and b.constant)
    recorder.map(Op.SET, a, y)
    recorder.map(op, b, y)
    return y


def add(context: Context, node: Node, inputs: Sequence[View], spans: Sequence[Interval], known: ValueType) -> View:
    """a + b."""
    a, b = inputs
    return _combined(context.recorder, Op.ADD, a, b, type_of(known.range))


def gate(context: Context, node: Node, inputs: Sequence[View], spans: Sequence[Interval], known: ValueType) -> View:
    """gate: mask AND spikes; inhibit: spikes AND NOT mask."""
    mask, spikes = inputs
    return _combined(context.recorder, Op.AND if node.op == "gate" else Op.AND_NOT, spikes, mask, Type.U8)


def reduce_sum(
    context: Context, node: Node, inputs: Sequence[View], spans: Sequence[Interval], known: ValueType
) -> View:
    """Sums over axes: all elements are added to a view that stands still on these axes."""
    (x,), recorder = inputs, context.recorder
    summed = tuple(axis + 1 for axis in node.integers("axes"))
    shape = tuple(1 if i in summed else n for i, n in enumerate(x.shape))
    y = recorder.new(shape, memory_order(x), type_of(known.range), x.constant)
    recorder.fill(0, y)
    still = replace(y, shape=x.shape, strides=tuple(0 if i in summed else s for i, s in enumerate(y.strides)))
    recorder.map(Op.ADD, x, still)
    return y if node.integer("keepdims") else y.dropped(*summed)


def delay(context: Context, node: Node, inputs: Sequence[View], spans: Sequence[Interval], known: ValueType) -> View:
    """All steps of the elements of one delay are copied to the steps in which they arrive."""
    (x,), recorder = inputs, context.recorder
    steps, y = x.shape[0], recorder.new(x.shape, memory_order(x), x.type)
    recorder.fill(0, y)
    for bounds, late in boxes(node.tensors["delay"]):
        source, target = x, y
        for axis, start, stop in bounds:
            source, target = source.part(axis, start, stop), target.part(axis, start, stop)
        if late < steps:
            shape, offset = (steps - late, *source.shape[1:]), target.offset + late * target.strides[0]
            recorder.map(Op.SET, replace(source, shape=shape), replace(target, shape=shape, offset=offset))
    return y


def max_pool(context: Context, node: Node, inputs: Sequence[View], spans: Sequence[Interval], known: ValueType) -> View:
    """The largest of each window: tap by tap, over the windows in which the tap lies inside."""
    (x,), recorder = inputs, context.recorder
    y = recorder.new((x.shape[0], *known.shape), memory_order(x), x.type, x.constant)
    recorder.fill(0 if x.type == Type.U8 else np.iinfo(np.int32).min, y)
    kernel, stride, padding = (node.integers(name) for name in ("kernel", "stride", "padding"))
    for tap in product(*map(range, kernel)):
        source, target = x, y
        for axis, (k, s, p) in enumerate(zip(tap, stride, padding, strict=True), start=1):
            first = max(0, -(-(p - k) // s))
            last = min(target.shape[axis + 1], (x.shape[axis + 1] - 1 + p - k) // s + 1)
            target = target.part(axis, first, max(first, last))
            source = source.part(axis, first * s - p + k, first * s - p + k + (last - first) * s, s)
        if all(target.shape):
            recorder.map(Op.MAX, source, target)
    return y


def spike_matmul(
    context: Context, node: Node, inputs: Sequence[View], spans: Sequence[Interval], known: ValueType
) -> View:
    """a b, a head; on bytes b takes the place of weights."""
    (a, b), recorder = inputs, context.recorder
    last = len(a.shape) - 1
    order = [axis for axis in memory_order(b if a.constant and not b.constant else a) if axis != last]
    y = recorder.new((a.shape[0], *known.shape), [*order, last], type_of(known.range), a.constant and b.constant)
    if a.type != b.type:
        a, b = (x if x.type == Type.I32 else copied(recorder, x, memory_order(x), Type.I32) for x in (a, b))
    over = loop(y.once.shape[:-2], a.strides[:-2], b.strides[:-2], y.strides[:-2], key=2)
    n, k, m = a.shape[-2], a.shape[-1], b.shape[-1]
    strides = [*a.strides[-2:], *b.strides[-2:], *y.strides[-2:]]
    small, large = spans[0].hi <= SIGNED_BYTE_MAX, spans[1].hi > SIGNED_BYTE_MAX
    views = {"a": a, "b": b, "y": y}
    recorder.add("matmul", views, loop=over, n=n, k=k, m=m, strides=strides, small=small, large=large)
    return y


def reshape(context: Context, node: Node, inputs: Sequence[View], spans: Sequence[Interval], known: ValueType) -> View:
    """A view where the strides allow it, otherwise a copy in C order."""
    (x,) = inputs
    view = x.reshaped(known.shape)
    if view is not None:
        return view
    y = copied(context.recorder, x, list(range(len(x.shape))), x.type).reshaped(known.shape)
    return y if y is not None else x  # an array in C order takes any shape


def permute(context: Context, node: Node, inputs: Sequence[View], spans: Sequence[Interval], known: ValueType) -> View:
    """A view."""
    return inputs[0].permuted(node.integers("axes"))


def slice_(context: Context, node: Node, inputs: Sequence[View], spans: Sequence[Interval], known: ValueType) -> View:
    """A view."""
    return inputs[0].part(node.integer("axis"), node.integer("start"), node.integer("stop"))


LOWER: dict[str, Lower] = {
    "encode": encode,
    "encode_events": encode,
    "add": add,
    "gate": gate,
    "inhibit": gate,
    "delay": delay,
    "reduce_sum": reduce_sum,
    "max_pool": max_pool,
    "spike_matmul": spike_matmul,
    "reshape": reshape,
    "permute": permute,
    "slice": slice_,
}
