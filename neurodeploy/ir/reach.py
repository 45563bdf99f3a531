"""What every neuron of a mapped graph can receive and send, for any image: from the encoding and the synapses alone.

Interval arithmetic over the fan-in of each neuron; of a convolution, over that of each output channel. It takes inputs
as independent, which a maximum made of ReLU neurons is not: c0 + relu(c1 - c0) would seem to reach twice as far as it
does. There a ReLU term is taken apart, which is exact:

    S + w relu(I) = max(S, S + w I) for w >= 0,  min(S, S + w I) for w < 0

and axons that S and w I share cancel. All inputs of a neuron are of one sample and step (the depths say so), so an axon
has one value in all of them. So too a word less its own upper bits, shifted back, is a remainder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from neurodeploy.ir.mapped import ConvWeights, Crossbar, MappedGraph, Population, SparseWeights, apply_views
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.numerics import Int64


@dataclass(frozen=True)
class Reach:
    """Over all neurons of a population: their summed inputs (of every port), and what they send."""

    received: Interval
    sent: Interval


@dataclass(frozen=True)
class Form:
    """Sums over axons: neuron rows[i] receives weights[i] * axons[i], and anything in base [2, neurons] (lo, hi).

    Axons count through all populations in order of depth; rows ascend; no pair twice, no weight of zero.
    """

    rows: Int64
    axons: Int64
    weights: Int64
    base: Int64


def reaches(graph: MappedGraph) -> dict[str, Reach]:
    """The reach of every population of a graph whose names, wiring, depths, indices, shapes and widths are sound.

    Where a population reaches beyond its declared interval, its readers count with the declared one. int64 holds
    every sum: payloads are below 2^23, and no fan-in has weights that add up to 2^40.
    """
    walk = _Walk(graph)
    return {p.name: walk.visit(i, p) for i, p in enumerate(walk.populations)}


def plane(weights: ConvWeights, image: tuple[int, ...]) -> tuple[int, ...]:
    """[Co, Ho, Wo] of a convolution of [Ci, H, W]: floor((n + 2p - k) / s) + 1 an axis."""
    windows = zip(image[1:], weights.weight.shape[2:], weights.stride, weights.padding, strict=True)
    return (weights.weight.shape[0], *((n + 2 * p - k) // s + 1 for n, k, s, p in windows))


class _Walk:
    """The populations in order of depth, and the bounds [2, axons] of all that have been visited."""

    def __init__(self, graph: MappedGraph) -> None:
        self.graph = graph
        self.populations = sorted(graph.populations, key=lambda p: p.depth)
        sizes = [p.size for p in self.populations]
        starts = np.concatenate(([0], np.cumsum(sizes)))
        self.start = {p.name: int(at) for p, at in zip(self.populations, starts, strict=False)}
        self.bounds = np.zeros((2, int(starts[-1])), np.int64)
        self.divided = np.full(int(starts[-1]), -1, np.int64)  # the axon whose quotient by 2^bits an axon sends
        self.bits = np.zeros(int(starts[-1]), np.int64)
        self.relus: list[int] = [i for i, p in enumerate(self.populations) if p.kind == "relu"]
        self.owner = np.repeat(np.arange(len(sizes)), sizes)
        self.first_axon = dict(self.start)
        self.forms: dict[int, Form] = {}
        self.inputs: dict[str, list[Crossbar]] = {p.name: [] for p in self.populations}
        for crossbar in graph.crossbars:
            self.inputs[crossbar.target].append(crossbar)

    def visit(self, number: int, p: Population) -> Reach:
        """Bound a population whose sources have been visited."""
        ports = sorted({c.port for c in self.inputs[p.name]})
        forms = [self._form(p, [c for c in self.inputs[p.name] if c.port == port]) for port in ports]
        if p.kind == "relu":
            self.forms[number] = forms[0]
        if p.kind == "sum" and _repeats(p, self.inputs[p.name]):
            self.first_axon[p.name] = self.first_axon[self.inputs[p.name][0].source]
        received = [self._bounds(form) for form in forms]
        sent = self._sent(p, received)
        low, high = p.interval.lo, p.interval.hi
        self.bounds[:, self.start[p.name] : self.start[p.name] + p.size] = np.clip(sent, low, high)
        return Reach(_hull(received or [sent]), _hull([sent]))

    def _sent(self, p: Population, received: list[Int64]) -> Int64:
        if p.kind in ("source", "lif", "hold"):
            interval = self.graph.encoding.interval if p.kind == "source" else BINARY
            return np.repeat(np.array([[interval.lo], [interval.hi]]), p.size, axis=1)
        if p.kind == "product":
            corners = np.stack([a * b for a in received[0] for b in received[1]])
            return np.stack([corners.min(axis=0), corners.max(axis=0)])
        if p.kind == "max":
            return np.asarray(np.max(received, axis=0))
        if p.kind == "memory":  # one key and one value a time step
            return np.repeat(np.array([[0], [self.graph.period]]), p.size, axis=1)
        return np.maximum(received[0], 0) if p.kind == "relu" else received[0]

    def _form(self, p: Population, crossbars: Iterable[Crossbar]) -> Form:
        empty = np.zeros(0, np.int64)
        parts, base = [(empty, empty, empty)], np.zeros((2, p.size), np.int64)
        for c in crossbars:
            if isinstance(c.weights, SparseWeights):
                axons = c.weights.cols + self.first_axon[c.source]
                if c.weights.exponent < 0:
                    self._shift(p, c.weights, axons, base)
                else:
                    parts.append((c.weights.rows, axons, c.weights.weights << c.weights.exponent))
            else:
                base += self._conv(c.weights, self.graph.by_name[c.source])
        return self._collected(parts, base)

    def _shift(self, p: Population, weights: SparseWeights, axons: Int64, base: Int64) -> None:
        """Add to base what synapses that shift to the right deliver; remember whose quotients neurons send."""
        sent = np.sort(self.bounds[:, axons] * weights.weights, axis=0) >> -weights.exponent
        base[:, weights.rows] += sent
        if p.kind == "sum" and len(self.inputs[p.name]) == 1 and (weights.weights == 1).all():
            self.divided[weights.rows + self.start[p.name]] = axons
            self.bits[weights.rows + self.start[p.name]] = -weights.exponent

    def _conv(self, weights: ConvWeights, source: Population) -> Int64:
        """Bounds [2, neurons] of a convolution, from the hull of its source (and zero, where it pads)."""
        start = self.start[source.name]
        axon = _hull([self.bounds[:, start : start + source.size]])
        axon = axon.union(Interval(0, 0)) if any(weights.padding) else axon
        shape = plane(weights, apply_views(np.broadcast_to(np.int8(0), source.shape), weights.in_views).shape)
        flat = weights.weight.reshape(shape[0], -1)
        up, down = np.maximum(flat, 0).sum(axis=1), np.minimum(flat, 0).sum(axis=1)
        sums = (up * axon.lo + down * axon.hi, up * axon.hi + down * axon.lo)
        planes = [np.broadcast_to(s[:, None, None], shape) for s in sums]
        return np.stack([apply_views(one, weights.out_views).reshape(-1) for one in planes])

    def _collected(self, parts: list[tuple[Int64, Int64, Int64]], base: Int64) -> Form:
        rows, axons, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
        keys, place = np.unique(rows * self.bounds.shape[1] + axons, return_inverse=True)
        sums = np.zeros(len(keys), np.int64)
        np.add.at(sums, place, weights)
        keys, sums = keys[sums != 0], sums[sums != 0]
        return Form(keys // self.bounds.shape[1], keys % self.bounds.shape[1], sums, base)

    def _bounds(self, form: Form) -> Int64:
        """Bounds [2, neurons] of a form; its ReLU populations are taken apart, the last one first.

        A maximum of k taps takes k forms, a sum of two such maxima k^2.
        """
        owners = self.owner[form.axons]
        found = np.intersect1d(owners, self.relus)
        terms = owners == found[-1] if len(found) else np.zeros(len(owners), bool)
        rows = form.rows[terms]
        if not len(rows) or len(np.unique(rows)) < len(rows):
            return self._independent(form)
        rest = replace(form, rows=form.rows[~terms], axons=form.axons[~terms], weights=form.weights[~terms])
        neurons = form.axons[terms] - self.start[self.populations[found[-1]].name]
        inner = self.forms[int(found[-1])]
        closed = self._bounds(rest)
        opened = self._bounds(self._opened(rest, inner, rows, neurons, form.weights[terms]))
        signs = np.zeros(form.base.shape[1], np.int64)
        signs[rows] = np.sign(form.weights[terms])
        return np.asarray(np.where(signs < 0, np.minimum(closed, opened), np.maximum(closed, opened)))

    def _opened(self, rest: Form, inner: Form, rows: Int64, neurons: Int64, weights: Int64) -> Form:
        """rest + w I: the inputs of the given neurons of a ReLU population in place of what they send."""
        first = np.searchsorted(inner.rows, neurons)
        count = np.searchsorted(inner.rows, neurons, "right") - first
        at = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())
        terms = (np.repeat(rows, count), inner.axons[at], np.repeat(weights, count) * inner.weights[at])
        base = rest.base.copy()
        base[:, rows] += np.sort(inner.base[:, neurons] * weights, axis=0)
        return self._collected([(rest.rows, rest.axons, rest.weights), terms], base)

    def _independent(self, form: Form) -> Int64:
        form = self._without_remainders(form)
        low, high = np.sort(self.bounds[:, form.axons] * form.weights, axis=0)
        total: Int64 = form.base.copy()
        np.add.at(total[0], form.rows, low)
        np.add.at(total[1], form.rows, high)
        return total

    def _without_remainders(self, form: Form) -> Form:
        """x - 2^b q, where q is x shifted by b, lies in 0..2^b - 1: such pairs of axons become part of the base."""
        quotients = np.flatnonzero(self.divided[form.axons] >= 0)
        if not len(quotients):
            return form
        keys = form.rows * self.bounds.shape[1] + form.axons
        wanted = form.rows[quotients] * self.bounds.shape[1] + self.divided[form.axons[quotients]]
        found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        bits, weights = self.bits[form.axons[quotients]], form.weights[found]
        pairs = (keys[found] == wanted) & (weights > 0) & (form.weights[quotients] == -(weights << bits))
        base, kept = form.base.copy(), np.ones(len(keys), bool)
        np.add.at(base[1], form.rows[found[pairs]], weights[pairs] * ((1 << bits[pairs]) - 1))
        kept[quotients[pairs]] = kept[found[pairs]] = False
        return Form(form.rows[kept], form.axons[kept], form.weights[kept], base)


def _repeats(p: Population, crossbars: list[Crossbar]) -> bool:
    """Whether a population of sums is a relay: each neuron sends what one of the source sends, later."""
    weights = crossbars[0].weights
    if len(crossbars) > 1 or not isinstance(weights, SparseWeights) or weights.exponent:
        return False
    one_to_one = np.arange(p.size)
    return (
        np.array_equal(weights.rows, one_to_one)
        and np.array_equal(weights.cols, one_to_one)
        and bool((weights.weights == 1).all())
    )


def _hull(bounds: list[Int64]) -> Interval:
    return Interval(min(int(b[0].min()) for b in bounds), max(int(b[1].max()) for b in bounds))
