"""Max-pooling: an OR of spikes, and for graded values a tree of ReLU neurons, axis by axis.

max(c0, c1, ..) = c0 + r1 + r2 + .. with r1 = relu(c1 - c0), r2 = relu(c2 - c0 - r1), ..: after each term the sum is the
largest of the taps so far. c0 is a tap that all windows have inside the image, where there is one. Taps that lie in the
padding have no synapses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from neurodeploy.errors import Finding, UnsupportedModelError
from neurodeploy.ir.chip import Filters, Grid
from neurodeploy.ir.graph import Node
from neurodeploy.ir.mapped import PORTS, Population
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.builder import Drive, Network, Signal, Synapses
from neurodeploy.mapping.layout import Layout, dense, nest

Span = tuple[int, int]  # outputs from .. to (exclusive)


def any_of_window(network: Network, node: Node, signal: Signal) -> Drive:
    """The number of spikes in each window of [C, *S]; a stateless LIF with vth = 0 makes it an OR.

    Raises UnsupportedModelError for a window over more than two axes.
    """
    windows = _windows(node, network.layout(signal).shape)
    if len(windows) > 2:
        mend = "pool over the axes one after another"
        need, have = "a window over one or two axes", f"{len(windows)} axes"
        raise UnsupportedModelError(Finding("ND-M150", node.name, need, have, mend, str(node.source)))
    signal = _straight(network, signal)
    layout = network.layout(signal)
    channels, shape = layout.shape[0], (layout.shape[0], *(w.count for w in windows))
    lift = (1,) if len(windows) == 1 else ()  # one row
    (height, width) = [_Window(1, 1, 1, 0)] * len(lift) + windows
    source, target = (_grid(value.expanded(*lift)) for value in (layout, dense(shape)))
    filters = Filters(
        weight=np.ones((channels, 1, height.kernel, width.kernel), np.int64),
        stride=(height.stride, width.stride),
        padding=(height.padding, width.padding),
        groups=channels,
        size_in=(height.length, width.length),
        size_out=(height.count, width.count),
        source=source,
        target=target,
    )
    count = Interval(0, prod(node.integers("kernel")))
    return Drive(shape, count, (Synapses(signal.population, filters),))


def largest_of_window(network: Network, node: Node, signal: Signal) -> Drive:
    """The maximum of each window of graded values, as the drive that the last pass leaves behind."""
    signal = _straight(network, signal)
    windows = _windows(node, network.layout(signal).shape)
    for axis in range(len(windows), 0, -1):
        drive = _axis_maximum(network, f"{node.name}/axis{axis}", signal, axis, windows[axis - 1])
        if axis > 1:
            signal = network.graded(f"{node.name}/axis{axis}", drive)
    return drive


@dataclass(frozen=True)
class _Window:
    """The window along one axis of `length` elements."""

    length: int
    kernel: int
    stride: int
    padding: int

    @property
    def count(self) -> int:
        """Outputs."""
        return (self.length + 2 * self.padding - self.kernel) // self.stride + 1

    def inside(self, tap: int) -> Span:
        """The outputs whose tap lies in the image."""
        low = max(0, -(-(self.padding - tap) // self.stride))
        return low, min(self.count, (self.length - 1 + self.padding - tap) // self.stride + 1)

    def bases(self) -> list[tuple[int, Span]]:
        """(tap, outputs) that a maximum starts from: each output once, most of them with the same tap."""
        taps = sorted(range(self.kernel), key=lambda tap: self.inside(tap)[0] - self.inside(tap)[1])
        low, high = self.inside(taps[0])
        others = (*range(low), *range(high, self.count))
        first = [next(t for t in taps if self.inside(t)[0] <= i < self.inside(t)[1]) for i in others]
        return [(taps[0], (low, high)), *((t, (i, i + 1)) for t, i in zip(first, others, strict=True))]


def _windows(node: Node, shape: tuple[int, ...]) -> list[_Window]:
    sizes = zip(shape[1:], node.integers("kernel"), node.integers("stride"), node.integers("padding"), strict=True)
    return [_Window(*axis) for axis in sizes]


def _straight(network: Network, signal: Signal) -> Signal:
    """A signal with one stride an axis, so that windows can run along each."""
    return signal if network.layout(signal).strides else network.copied(signal, "dense")


def _grid(layout: Layout) -> Grid:
    channel, row, column = layout.strides or (0, 0, 0)
    return Grid(channel, row, column, layout.offset)


def largest_by_ports(network: Network, node: Node, signal: Signal) -> Signal:
    """The maximum of each window of graded values in max neurons, axis by axis, with an input a tap."""
    signal = _straight(network, signal)
    windows = _windows(node, network.layout(signal).shape)
    for axis in range(len(windows), 0, -1):
        signal = _axis_by_ports(network, f"{node.name}/axis{axis}", signal, axis, windows[axis - 1])
    return signal


def _axis_by_ports(network: Network, name: str, signal: Signal, axis: int, window: _Window) -> Signal:
    """One maximum an axis; a window of more taps than a neuron has inputs takes several, one after another."""
    taps = _Taps(network.layout(signal), signal.population, axis, window)
    span, bases, drives = network.interval(signal), window.bases(), []
    for which in range(window.kernel):  # where a tap lies in the padding, its input repeats the base
        held = window.inside(which)
        rest = [(base, both) for base, s in bases for out in _without(s, held) for both in _both(s, out)]
        parts = [taps.tap(tap, outputs, 1) for tap, outputs in ((which, held), *rest) if outputs[0] < outputs[1]]
        drives.append(Drive(taps.shape, span, tuple(parts)))
    if len(drives) == 1:
        return network.graded(name, drives[0])
    made = network.land(Population(name, "max", taps.shape, 0, span), *drives[: len(PORTS)])
    for at in range(len(PORTS), len(drives), len(PORTS) - 1):
        more = drives[at : at + len(PORTS) - 1]
        made = network.land(Population(f"{name}/max{at}", "max", taps.shape, 0, span), network.relayed(made), *more)
    return made


def _axis_maximum(network: Network, name: str, signal: Signal, axis: int, window: _Window) -> Drive:
    """The maximum along one axis: drive c0 + r1 + .., with one ReLU population a further tap."""
    taps, span, bases = (
        _Taps(network.layout(signal), signal.population, axis, window),
        network.interval(signal),
        window.bases(),
    )
    found: list[tuple[str, list[Span]]] = []
    for which in range(window.kernel):
        own = [(base, both) for base, held in bases if base != which for both in _both(window.inside(which), held)]
        if not own:
            continue
        parts = [taps.tap(which, outputs, 1) for _, outputs in own] + [taps.tap(base, at, -1) for base, at in own]
        earlier = [(r, both) for r, had in found for _, at in own for s in had for both in _both(at, s)]
        parts += [taps.term(r, outputs, -1) for r, outputs in earlier]
        reach = Interval((span.lo - span.hi) * (1 + len(found)), span.hi - span.lo)
        made = network.graded(f"{name}/relu{len(found) + 1}", Drive(taps.shape, reach, tuple(parts)), "relu")
        found.append((made.population, [outputs for _, outputs in own]))
    start = [taps.tap(base, outputs, 1) for base, outputs in bases]
    gains = [taps.term(r, outputs, 1) for r, had in found for outputs in had]
    return Drive(taps.shape, span, (*start, *gains))


@dataclass(frozen=True)
class _Taps:
    """Synapses of a maximum along one axis of a population's signal."""

    layout: Layout
    population: str
    axis: int
    window: _Window

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the maximum."""
        return tuple(self.window.count if i == self.axis else n for i, n in enumerate(self.layout.shape))

    def tap(self, which: int, outputs: Span, weight: int) -> Synapses:
        """From one tap of the windows of some outputs."""
        step = self.window.stride
        first = outputs[0] * step + which - self.window.padding
        of = self.layout.part(self.axis, first, outputs[1] - outputs[0], step)
        return Synapses(self.population, nest(self._outputs(outputs), of, weight))

    def term(self, population: str, outputs: Span, weight: int) -> Synapses:
        """From another population of the maximum's shape, neuron by neuron."""
        return Synapses(population, nest(self._outputs(outputs), self._outputs(outputs), weight))

    def _outputs(self, outputs: Span) -> Layout:
        return dense(self.shape).part(self.axis, outputs[0], outputs[1] - outputs[0])


def _both(a: Span, b: Span) -> Iterator[Span]:
    """The outputs of both spans, if there are any."""
    low, high = max(a[0], b[0]), min(a[1], b[1])
    if low < high:
        yield low, high


def _without(a: Span, b: Span) -> Iterator[Span]:
    """The outputs of one span that the other has not."""
    yield from _both(a, (a[0], b[0]))
    yield from _both(a, (b[1], a[1]))
