"""Convolutions as implicit matrix products, fused with the LIF (and the max pooling) that alone reads them.

A row of the product is one time step of one position; its axons are the channels of its taps, which the kernel finds
through a table of offsets. So channels lie innermost in memory, then time, then positions; the padding is in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.native import lookup
from neurodeploy.backends.native.axons import Axons
from neurodeploy.backends.native.lower import SIGNED_BYTE_MAX, TILE_GROUP, TILE_OUTPUTS
from neurodeploy.backends.native.recorder import Op, Recorder
from neurodeploy.backends.native.views import BYTES, Buffer, Shape, Space, Type, View, dense
from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.graph import Node
from neurodeploy.ir.types import Interval

SUMS, LIF, POOL_LIF = 0, 1, 2  # what follows the sums (native/plan.hpp)
NO_NEURON = (0, 12, 0, 0)
BYTE_MAX = 255
MOST_OFFSET = 2**31 - 1  # of a tap, in the int32 that the kernels take
LEAST_EVENT_OUTPUTS, LEAST_EVENT_CHANNELS = 128, 64  # below, listing the axons takes longer than it saves


@dataclass(frozen=True)
class Neuron:
    """A LIF as the kernels take it: (shift, decay bits, keep, threshold); bias and threshold a channel; membrane."""

    numbers: tuple[int, int, int, int]
    bias: NDArray[np.int64]
    thresholds: NDArray[np.int64]
    membrane: View | None


@dataclass(frozen=True)
class Pending:
    """A convolution that waits for what follows it.

    view: how the value lies in memory, in elements; no memory belongs to it before it is written.
    pool: (kernel, stride, padding, size) of a max pooling, two axes each.
    """

    node: Node
    axons: Axons
    base: View
    view: View
    pool: tuple[Shape, Shape, Shape, Shape] | None = None

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.base.shape[1]

    @property
    def steps(self) -> int:
        """T."""
        return self.base.shape[0]


def pending(recorder: Recorder, node: Node, x: View, span: Interval, shape: Shape, steps: int) -> Pending:
    """The convolution of x [T, C, *S]; shape: of its value in one step."""
    axons = find_axons(recorder, node, x, span)
    full = (steps, *shape)
    base = View(Buffer(Space.ARENA), Type.I32, full, dense(full, [*range(2, len(full)), 0, 1]))
    return Pending(node, axons, base, base)


def pooled(conv: Pending, node: Node, shape: Shape) -> Pending:
    """The same with a max pooling before its neuron."""
    full = (conv.steps, *shape)
    base = replace(conv.base, shape=full, strides=dense(full, [2, 3, 0, 1]))
    kernel, stride, padding = (node.integers(name) for name in ("kernel", "stride", "padding"))
    return replace(conv, base=base, view=base, pool=(kernel, stride, padding, shape[1:]))


def can_pool(conv: Pending) -> bool:
    """Whether a max pooling can be fused: over lines of an image, nothing between it and the convolution."""
    return conv.pool is None and conv.view is conv.base and len(conv.base.shape) == 4


def write_sums(recorder: Recorder, conv: Pending) -> View:
    """The sums themselves, int32. Raises ValueError for one with a max pooling, which a LIF alone may follow."""
    if conv.pool:
        raise ValueError(f"{conv.node.name}: no kernel pools sums without a LIF")
    buffer = Buffer(Space.ARENA, prod(conv.base.shape) * BYTES[Type.I32])
    base, view = replace(conv.base, buffer=buffer), replace(conv.view, buffer=buffer)
    _gemm(recorder, conv, SUMS, base, None, np.zeros(conv.outputs, np.int64))
    return replace(view, strides=(0, *view.strides[1:])) if conv.axons.rows == 1 and conv.steps > 1 else view


def write_spikes(recorder: Recorder, conv: Pending, neuron: Neuron) -> View:
    """The spikes of the LIF that follows; neuron.membrane, if any, has the strides of conv.view."""
    buffer = Buffer(Space.ARENA, prod(conv.base.shape))
    base = replace(conv.base, buffer=buffer, type=Type.U8)
    _gemm(recorder, conv, POOL_LIF if conv.pool else LIF, base, neuron, neuron.bias)
    return replace(conv.view, buffer=buffer, type=Type.U8)


def by_channel(conv: Pending, bias: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The bias, or the threshold, of each output channel, or None where it may differ between positions.

    bias: of the rank of the value.  In one time step, positions may be merged with the channels into one axis.
    """
    shape, strides = conv.view.shape[1:], conv.view.strides[1:]
    channels = [size > 1 and step < conv.outputs for size, step in zip(shape, strides, strict=True)]
    if any(size > 1 and not inside for size, inside in zip(bias.shape, channels, strict=True)):
        return None
    sizes = [size if inside else 1 for size, inside in zip(shape, channels, strict=True)]
    if sum((size - 1) * step for size, step in zip(sizes, strides, strict=True)) >= conv.outputs:
        return None
    index = np.zeros(sizes, np.int64)
    for axis, (size, step) in enumerate(zip(sizes, strides, strict=True)):
        index += np.arange(size).reshape([-1 if i == axis else 1 for i in range(len(sizes))]) * step
    found = np.zeros(conv.outputs, np.int64)
    found[index] = np.broadcast_to(bias, sizes)
    return found


def grouped(recorder: Recorder, node: Node, x: View, span: Interval, shape: Shape, steps: int) -> View:
    """A convolution in groups: each group writes the sums of its channels."""
    weight, groups = node.tensors["weight"], node.integer("groups")
    full, width, fan_in = (steps, *shape), shape[0] // groups, weight.shape[1]
    y = recorder.new(full, [*range(2, len(full)), 0, 1], Type.I32)
    for group in range(groups):
        channels = slice(group * width, (group + 1) * width)
        part = replace(node, tensors={"weight": weight[channels]})
        axons = find_axons(recorder, part, x.part(0, group * fan_in, (group + 1) * fan_in), span)
        target = y.part(0, channels.start, channels.stop)
        _gemm(recorder, Pending(part, axons, target, target), SUMS, target, None, np.zeros(width, np.int64))
    return replace(y, strides=(0, *y.strides[1:])) if x.constant and steps > 1 else y


def _gemm(
    recorder: Recorder, conv: Pending, tail: int, y: View, neuron: Neuron | None, bias: NDArray[np.int64]
) -> None:
    axons, numbers = conv.axons, neuron.numbers if neuron else NO_NEURON
    matrix = weights_of(conv.node.tensors["weight"], axons)
    zero = -axons.zero * matrix.sum(axis=1, dtype=np.int64) if axons.zero else np.zeros(len(matrix), np.int64)
    start = _tiled(bias + (zero << numbers[0]))
    keep: Any = recorder.program.keep
    runs, positions = axons.runs, axons.positions
    if not conv.pool and axons.run_bytes == positions * axons.rows * axons.row:
        runs, positions = 1, runs * positions
    tables = lookup.place(recorder, axons, matrix, runs, positions, conv.pool is not None)
    events = (_takes_events(axons, matrix) and not conv.pool) or (axons.most > 1 and bool(tables))
    fan_in = [
        recorder.program.pack(matrix, columns=False),
        keep(axons.offsets),
        keep(start.astype(np.uint64).astype(np.uint32)),  # modulo 2^32, as the kernel adds
        recorder.program.pack(matrix, columns=True) if events else 0,
        axons.tap,
        matrix.shape[1] // TILE_GROUP,
        len(matrix),
        keep(_tiled(neuron.thresholds).astype(np.int32)) if neuron else 0,
    ]
    recorder.add(
        "gemm",
        {"x": axons.view, "y": y, "v": neuron.membrane if neuron else None},
        tail=tail,
        fan_in=fan_in,
        rows=[axons.row, runs, axons.run_bytes, positions, axons.rows, conv.steps],
        step_y=y.strides[0],
        position_y=y.strides[-1] if len(y.shape) > 2 else 0,
        neuron=numbers,
        pool=[n for sizes in conv.pool for n in sizes] if conv.pool else [],
        lookup=tables,
        small=axons.most <= SIGNED_BYTE_MAX,
    )


def _tiled(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number an output channel, with zeros up to whole tiles."""
    found = np.zeros(-(-len(values) // TILE_OUTPUTS) * TILE_OUTPUTS, np.int64)
    found[: len(values)] = values
    return found


def _takes_events(axons: Axons, matrix: NDArray[np.int8]) -> bool:
    """Whether the kernel may add up the columns of the axons that fired; it does so where few of them fire."""
    outputs, fan_in = matrix.shape
    wide = outputs >= LEAST_EVENT_OUTPUTS and axons.tap * TILE_GROUP >= LEAST_EVENT_CHANNELS
    return axons.most <= 1 and wide and fan_in <= lookup.LONGEST_LIST


def weights_of(weight: NDArray[Any], axons: Axons) -> NDArray[np.int8]:
    """int8 [outputs, fan-in]: tap by tap the channels, zeros up to whole groups after each tap or at the end."""
    taps = np.moveaxis(weight.reshape(*weight.shape[:2], -1), 1, 2)  # [O, taps, C]
    if len(axons.offsets) == axons.tap:
        taps = taps.reshape(len(weight), 1, -1)
    missing = -taps.shape[2] % TILE_GROUP
    filled = np.pad(taps, [(0, 0), (0, 0), (0, missing)]) if missing else taps
    return np.ascontiguousarray(filled, np.int8).reshape(len(weight), -1)


def find_axons(recorder: Recorder, node: Node, x: View, span: Interval) -> Axons:
    """The input as rows: as it lies in memory if it can be, else copied with its padding, or window by window."""
    weight = node.tensors["weight"]
    kernel, stride, padding = weight.shape[2:], node.integers("stride"), node.integers("padding")
    span = span.union(Interval(0, 0))
    zero = max(0, -span.lo)
    kind = Type.U8 if span.hi + zero <= BYTE_MAX else Type.I32
    zero = zero if kind == Type.U8 else 0
    x = x.once
    if prod(kernel) == 1 and not any(padding):  # positions that no window meets need no place
        for axis, step in enumerate(stride, start=1):
            x = x.part(axis, 0, x.shape[axis + 1], step)
        stride = (1,) * len(stride)
    if any(padding) or zero or x.type != kind or not _lies_in_rows(x):
        x = _padded(recorder, x, kind, padding, zero)
    sizes = tuple((n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride, strict=True))
    if len(kernel) > 2 or (stride and stride[-1] > 1):
        axons = _windows(recorder, x, kernel, stride, sizes, zero)
    else:
        axons = _taps(x, kernel, stride, sizes, zero)
    return replace(axons, most=span.hi + zero) if kind == Type.U8 else axons


def _lies_in_rows(x: View) -> bool:
    """Whether groups of channels, and rows of a line, follow one another in memory as the kernel reads them."""
    time, channel, *space = x.strides
    row = time if x.shape[0] > 1 or not space else space[-1]
    aligned = channel == 1 and x.shape[1] % TILE_GROUP == 0
    return aligned and (not space or space[-1] == x.shape[0] * row) and len(space) <= 2


def _padded(recorder: Recorder, x: View, kind: Type, padding: Shape, zero: int) -> View:
    """A copy with channels up to whole groups, and the padding around; `zero` is added to all of it."""
    steps, channels, *space = x.shape
    sizes = [n + 2 * p for n, p in zip(space, padding, strict=True)]
    full = (steps, -(-channels // TILE_GROUP) * TILE_GROUP, *sizes)
    plane = recorder.new(full, [*range(2, len(full)), 0, 1], kind)
    if zero or any(padding):
        recorder.fill(zero, plane)
    elif full[1] > channels:
        recorder.fill(0, plane.part(0, channels, full[1]))
    inside = plane.part(0, 0, channels)
    for axis, (n, p) in enumerate(zip(space, padding, strict=True), start=1):
        inside = inside.part(axis, p, p + n)
    recorder.map(Op.ADD if zero else Op.SET, x, inside)
    return inside if not any(padding) else replace(plane, shape=(steps, channels, *sizes))


def _taps(x: View, kernel: Shape, stride: Shape, sizes: Shape, zero: int) -> Axons:
    """The windows as they lie in memory: an offset for each group of channels of each tap."""
    width, space = BYTES[x.type], x.strides[2:]
    groups = np.arange(-(-x.shape[1] // TILE_GROUP)) * TILE_GROUP
    taps = [sum(i * step for i, step in zip(tap, space, strict=True)) for tap in product(*map(range, kernel))]
    offsets = (np.array(taps)[:, None] + groups).reshape(-1) * width
    if offsets.max() > MOST_OFFSET:
        finding = Finding(
            "ND-B026",
            "",
            f"taps within {MOST_OFFSET:,} bytes of one another",
            f"{offsets.max():,} bytes",
            "smaller images, or the backend reference",
        )
        raise DoesNotFitError(finding)
    row = x.strides[0] if x.shape[0] > 1 or not space else space[-1]
    runs, run = (sizes[0], stride[0] * space[0]) if len(space) == 2 else (1, 0)
    positions = sizes[-1] if sizes else 1
    return Axons(x, offsets.astype(np.int32), row * width, runs, run * width, positions, x.shape[0], zero, len(groups))


def _windows(recorder: Recorder, x: View, kernel: Shape, stride: Shape, sizes: Shape, zero: int) -> Axons:
    """A copy window by window: the taps of a row, channels innermost, side by side."""
    steps, channels, *_ = x.shape
    fan_in = prod(kernel) * channels
    row = -(-fan_in // TILE_GROUP) * TILE_GROUP
    rows = recorder.new((steps, row, *sizes), [*range(2, 2 + len(sizes)), 0, 1], x.type)
    inner = dense((*kernel, channels), range(len(kernel) + 1))
    shape = (steps, channels, *sizes, *kernel)
    target = View(rows.buffer, x.type, shape, (rows.strides[0], 1, *rows.strides[2:], *inner[:-1]))
    steps_in = tuple(s * step for s, step in zip(stride, x.strides[2:], strict=True))
    recorder.map(Op.SET, replace(x, shape=shape, strides=(*x.strides[:2], *steps_in, *x.strides[2:])), target)
    if row > fan_in:
        recorder.fill(0, rows.part(0, fan_in, row))
    offsets = np.arange(0, row, TILE_GROUP) * BYTES[x.type]
    line = sizes[-1] * steps * row * BYTES[x.type]
    runs = prod(sizes[:-1])
    bytes_row = row * BYTES[x.type]
    return Axons(rows, offsets.astype(np.int32), bytes_row, runs, line, sizes[-1], steps, zero, row // TILE_GROUP)
