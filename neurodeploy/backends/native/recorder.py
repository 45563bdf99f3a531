"""Records the kernel calls of a plan with the buffers that they touch, and lays the buffers out in one arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.native import engine
from neurodeploy.backends.native.views import BYTES, Buffer, Shape, Space, Type, View, dense, loop

ALIGNMENT = 64
Place = tuple[int, int, int]
NOWHERE: Place = (Space.ABSENT, 0, 0)


class Op(IntEnum):
    """y = y op x (native/plan.hpp)."""

    SET = 0
    ADD = 1
    AND = 2
    AND_NOT = 3
    MAX = 4


@dataclass(frozen=True)
class Step:
    """One kernel call: a method of the engine's Program, the views that it touches (None: absent), the rest.

    layer: the node that is lowered when it is recorded; a convolution that waits for its LIF is written with the LIF.
    """

    layer: str
    call: str
    views: Mapping[str, View | None]
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Recorder:
    """Kernel calls in order. Nothing runs, and arena buffers have no place, until `finish`."""

    def __init__(self, path: str) -> None:
        self.program = engine.load().Program(path)
        self.steps: list[Step] = []
        self.layer = ""

    def new(self, shape: Shape, order: list[int], kind: Type, constant: bool = False) -> View:
        """A view [T, *value] on a buffer of its own; the axes lie in memory in this order."""
        if not constant:
            return View(Buffer(Space.ARENA, prod(shape) * BYTES[kind]), kind, shape, dense(shape, order))
        once = self.new((1, *shape[1:]), order, kind)
        return replace(once, shape=shape, strides=(0, *once.strides[1:]))

    def constant(self, values: NDArray[Any], kind: Type) -> View:
        """A view [1, *shape], the same in all steps, on a copy of an array that lives with the program."""
        address = self.program.keep(np.ascontiguousarray(values))
        strides = (0, *dense(values.shape, range(values.ndim)))
        return View(Buffer(Space.CONSTANT, offset=address), kind, (1, *values.shape), strides)

    def add(self, call: str, views: Mapping[str, View | None], **arguments: Any) -> None:
        """Record a call."""
        self.steps.append(Step(self.layer, call, views, arguments))

    def map(self, op: Op, x: View, y: View, over_time: bool = False) -> None:
        """y = y op x; the shapes are equal, or x has fewer or shorter axes and is repeated.

        over_time: y stands still in time, and takes in every step of x; otherwise such a y is written once.
        """
        y = y if over_time else y.once
        x = replace(x.broadcast(y.shape[1:]), shape=y.shape)
        still = any(size > 1 and step == 0 for size, step in zip(y.shape, y.strides, strict=True))
        over = loop(y.shape, x.strides, y.strides, key=0 if still else 1)
        self.add("map", {"x": x, "y": y}, op=int(op), loop=over, split=not still)

    def fill(self, value: int, y: View) -> None:
        """y = value everywhere."""
        self.map(Op.SET, self.constant(np.array(value, np.int32), Type.I32), y)

    def finish(self) -> Any:
        """The engine's program, with every buffer in its place; two live at once never overlap."""
        arena = _lay_out(self.steps)
        for step in self.steps:
            places = {name: _place(view) for name, view in step.views.items()}
            getattr(self.program, step.call)(**places, **step.arguments)
        self.program.finish(arena)
        return self.program


def _place(view: View | None) -> Place:
    if view is None:
        return NOWHERE
    return view.buffer.space, view.type, view.buffer.offset + view.offset * BYTES[view.type]


def _lay_out(steps: list[Step]) -> int:
    """Give each arena buffer the lowest offset that is free while it lives; returns the bytes of the arena."""
    lives: dict[Buffer, list[int]] = {}
    for index, step in enumerate(steps):
        for view in step.views.values():
            if view is not None and view.buffer.space == Space.ARENA:
                lives.setdefault(view.buffer, [index, index])[1] = index
    placed: list[tuple[int, int, int]] = []  # start, end, last step that uses it
    total = 0
    for buffer, (first, last) in lives.items():
        placed = [entry for entry in placed if entry[2] >= first]
        buffer.offset = 0
        size = -(-buffer.size // ALIGNMENT) * ALIGNMENT + ALIGNMENT
        for start, end, _ in sorted(placed):
            if start - buffer.offset >= size:
                break
            buffer.offset = max(buffer.offset, end)
        placed.append((buffer.offset, buffer.offset + size, last))
        total = max(total, buffer.offset + size)
    return total
