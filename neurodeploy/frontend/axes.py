"""Where time and batch stand among the axes of a traced tensor.

A model is traced at batch 1, so the batch axis is a unit axis: it may vanish, and come back anywhere. Time must lead
all other axes, for a reshape that crosses it would mix time steps. Before the model repeats its image T times, an axis
of length one may already stand for time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neurodeploy.ir.infer import IllegalNode, require

Shape = tuple[int, ...]
Labels = tuple[int | None, int | None]


@dataclass(frozen=True)
class Value:
    """A traced tensor: the canonical value of one time step, and how the tensor's axes are to be read.

    name: value of the graph.  shape: of the traced tensor.  time, batch: positions of these axes, None if absent.
    """

    name: str
    shape: Shape
    time: int | None = None
    batch: int | None = None

    @property
    def step_shape(self) -> Shape:
        """The shape of one time step, without the time and batch axes."""
        return tuple(self.shape[axis] for axis in self.kept)

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes that are neither time nor batch."""
        return tuple(axis for axis in range(len(self.shape)) if axis not in (self.time, self.batch))

    @property
    def leads(self) -> bool:
        """Whether every axis but the first belongs to one time step, as convolutions and batch norms read it."""
        return (self.time, self.batch) in ((0, None), (None, 0))


def _step(shape: Shape, labels: Labels) -> Shape:
    return tuple(n for axis, n in enumerate(shape) if axis not in labels)


def reshaped(value: Value, shape: Shape) -> Value:
    """The value read with another shape: the labels that keep its step shape if there are some, else [T, B, ...].

    Raises IllegalNode where the reshape would mix time steps.
    """
    time_leads = value.time is None or all(axis == value.batch for axis in range(value.time))
    require(time_leads, "time as the leading axis of what is reshaped", f"axis {value.time} of {value.shape}")
    steps = None if value.time is None else value.shape[value.time]
    possible = [labels for labels in _layouts(steps) if _fits(shape, labels, steps)]
    require(bool(possible), "a reshape that leaves the time steps apart", f"{value.shape} to {shape}")
    exact = [labels for labels in possible if _step(shape, labels) == value.step_shape]
    time, batch = (exact or possible)[0]
    return replace(value, shape=shape, time=time, batch=batch)


def _layouts(steps: int | None) -> tuple[Labels, ...]:
    return ((None, 0), (0, 1), (None, None)) if steps is None else ((0, 1), (0, None), (1, 0))


def _fits(shape: Shape, labels: Labels, steps: int | None) -> bool:
    time, batch = labels
    if max(time if time is not None else -1, batch if batch is not None else -1) >= len(shape):
        return False
    return (time is None or shape[time] == (steps or 1)) and (batch is None or shape[batch] == 1)


def permuted(value: Value, axes: Sequence[int]) -> tuple[Value, tuple[int, ...]]:
    """The value with its axes in another order, and that order among the axes of one step."""
    axes = tuple(axis % len(value.shape) for axis in axes)
    step_axes = tuple(value.kept.index(axis) for axis in axes if axis in value.kept)
    time = None if value.time is None else axes.index(value.time)
    batch = None if value.batch is None else axes.index(value.batch)
    return replace(value, shape=tuple(value.shape[axis] for axis in axes), time=time, batch=batch), step_axes


def repeated(value: Value, shape: Shape) -> Value:
    """The value after one of its unit axes, or a new leading one, became T long: that axis is time from now on."""
    added = len(shape) - len(value.shape)
    before = (1,) * added + value.shape
    grown = [axis for axis, (old, new) in enumerate(zip(before, shape, strict=True)) if old != new]
    old = {label + added for label in (value.time, value.batch) if label is not None}
    if not grown:
        return reshaped(value, shape)
    unit = {axis for axis in range(len(shape)) if before[axis] == 1 and (axis < added or axis in old)}
    fresh = value.time is None or value.shape[value.time] == 1
    require(fresh and len(grown) == 1, "the image repeated once, along time", f"{value.shape} to {shape}")
    require(grown[0] in unit, "a repeat of the leading axis only", f"{value.shape} to {shape}")
    rest = sorted((old | set(range(added))) - {grown[0]})
    require(len(rest) <= 1, "at most one batch axis", f"{value.shape} to {shape}")
    return Value(value.name, shape, grown[0], rest[0] if rest else None)


def common(a: Value, b: Value) -> int | None:
    """The batch axis that two tensors of one rank agree on. Raises IllegalNode where their time axes differ."""
    require(len(a.shape) == len(b.shape), "two tensors of one rank", f"{a.shape} and {b.shape}")
    require(a.time == b.time, "two tensors with time at the same axis", f"{a.shape} and {b.shape}")
    if a.batch == b.batch:
        return a.batch
    for batch in (a.batch, b.batch):
        if batch is not None and a.shape[batch] == b.shape[batch] == 1:
            return batch
    raise IllegalNode("two tensors with the batch at the same axis", f"{a.shape} and {b.shape}")
