"""Strided views of the engine's buffers: where each element of a value lies in memory, time included.

Axis 0 of a view is time; a value that is the same in all steps has stride 0 there and is computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from neurodeploy.ir.types import BYTE, Interval, signed

Shape = tuple[int, ...]
INT32 = signed(32)


class Type(IntEnum):
    """Element types of the kernels (native/plan.hpp); i64 for logits alone, f32 for images alone."""

    U8 = 0
    I32 = 1
    I64 = 2
    F32 = 3


BYTES = {Type.U8: 1, Type.I32: 4, Type.I64: 8, Type.F32: 4}


class Space(IntEnum):
    """Memory that kernels touch (native/plan.hpp); outputs are numbered from OUTPUT on."""

    ABSENT = -1
    ARENA = 0
    CONSTANT = 1
    IMAGE = 2
    SCRATCH = 3
    OUTPUT = 4


def type_of(interval: Interval) -> Type:
    """The narrowest type that holds the integers; the planner has refused what exceeds int32."""
    return Type.U8 if interval.within(BYTE) else Type.I32


@dataclass(eq=False)
class Buffer:
    """A stretch of memory; `offset` in bytes is set when all steps are known (arena), or from the start."""

    space: int
    size: int = 0
    offset: int = 0


@dataclass(frozen=True)
class View:
    """Elements of a buffer: shape [T, *value], strides and offset in elements."""

    buffer: Buffer
    type: Type
    shape: Shape
    strides: Shape
    offset: int = 0

    @property
    def constant(self) -> bool:
        """Whether all time steps are the same elements."""
        return self.strides[0] == 0

    @property
    def once(self) -> View:
        """One time step of a constant value, all steps of another."""
        return replace(self, shape=(1, *self.shape[1:])) if self.constant else self

    def permuted(self, axes: Sequence[int]) -> View:
        """The axes of the value (time not counted) in another order."""
        order = (0, *(axis + 1 for axis in axes))
        return replace(self, shape=tuple(self.shape[i] for i in order), strides=tuple(self.strides[i] for i in order))

    def part(self, axis: int, start: int, stop: int, step: int = 1) -> View:
        """start, start + step, ... < stop of one axis of the value."""
        at, count = axis + 1, -(-(stop - start) // step)
        return replace(
            self,
            shape=(*self.shape[:at], count, *self.shape[at + 1 :]),
            strides=(*self.strides[:at], self.strides[at] * step, *self.strides[at + 1 :]),
            offset=self.offset + start * self.strides[at],
        )

    def reshaped(self, shape: Shape) -> View | None:
        """The same elements in C order; None where that takes a copy."""
        strides = _reshape(self.shape[1:], self.strides[1:], shape)
        return (
            None
            if strides is None
            else replace(self, shape=(self.shape[0], *shape), strides=(self.strides[0], *strides))
        )

    def broadcast(self, shape: Shape) -> View:
        """To [T, *shape]; an axis of one element stands still."""
        missing = len(shape) - len(self.shape) + 1
        sizes, steps = (1,) * missing + self.shape[1:], (0,) * missing + self.strides[1:]
        strides = tuple(0 if size == 1 else step for size, step in zip(sizes, steps, strict=True))
        return replace(self, shape=(self.shape[0], *shape), strides=(self.strides[0], *strides))

    def dropped(self, *axes: int) -> View:
        """Without these axes (time is axis 0); what is left starts at their first element."""
        kept = [i for i in range(len(self.shape)) if i not in axes]
        return replace(self, shape=tuple(self.shape[i] for i in kept), strides=tuple(self.strides[i] for i in kept))


def _reshape(shape: Shape, strides: Shape, wanted: Shape) -> Shape | None:
    """Strides of `wanted`, or None: axes that follow one another in memory are merged, and split again."""
    runs: list[tuple[int, int]] = []
    for size, stride in zip(shape, strides, strict=True):
        if runs and runs[-1][1] == size * stride:
            runs[-1] = (runs[-1][0] * size, stride)
        elif size > 1:
            runs.append((size, stride))
    found: list[int] = []
    for size in reversed(wanted):
        if size == 1:
            found.append(0)
            continue
        total, stride = runs.pop()
        if total % size:
            return None
        found.append(stride)
        if total > size:
            runs.append((total // size, stride * size))
    return tuple(reversed(found))


def dense(shape: Shape, order: Iterable[int]) -> Shape:
    """Strides of an array without gaps whose axes lie in memory in this order, from the outermost."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(tuple(order)):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides)


def memory_order(view: View) -> list[int]:
    """The axes as they lie in memory, from the outermost; time of a constant value comes before the innermost axis."""
    order = sorted(range(1, len(view.shape)), key=lambda i: -view.strides[i])
    if view.constant:
        return [*order[:-1], 0, *order[-1:]]
    return sorted(range(len(view.shape)), key=lambda i: -view.strides[i])


Loop = tuple[list[int], list[int], list[int], list[int]]


def loop(shape: Shape, *strides: Shape, key: int) -> Loop:
    """Nested loops as the engine takes them: sizes from the outermost, and the strides of up to three operands.

    Axes come in the memory order of operand `key`; those that follow one another in all operands are merged.
    """
    axes = [(size, *steps) for size, *steps in zip(shape, *strides, strict=True) if size > 1]
    axes.sort(key=lambda axis: (-axis[key + 1], [-step for step in axis[1:]]))
    merged: list[tuple[int, ...]] = []
    for axis in axes:
        if merged and all(outer == inner * axis[0] for outer, inner in zip(merged[-1][1:], axis[1:], strict=True)):
            merged[-1] = (merged[-1][0] * axis[0], *axis[1:])
        else:
            merged.append(axis)
    operands = [[axis[i + 1] for axis in merged] for i in range(len(strides))]
    x, y, z = (*operands, [], [])[:3]
    return [axis[0] for axis in merged], x, y, z
