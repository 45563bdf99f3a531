"""Small random symbolic networks: every kind of pattern that the lowering makes, at random sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from neurodeploy.ir.chip import Axis, ChipNetwork, Filters, Grid, Nest, Neurons, Port, Shape, Synapses
from neurodeploy.ir.mapped import PopulationKind
from neurodeploy.ir.types import BINARY, Interval


@dataclass
class Grower:
    """A network while populations are added to it."""

    random: np.random.Generator
    graded: bool
    neurons: list[Neurons] = field(default_factory=list)
    synapses: list[Synapses] = field(default_factory=list)

    def add(self, kind: PopulationKind, shape: Shape, *inputs: tuple[Neurons, Nest | Filters, Port]) -> Neurons:
        """A population with its inputs; its name is its number."""
        depth = 1 + max((source.depth for source, _, _ in inputs), default=-1)
        binary = kind in ("lif", "source") or not self.graded
        interval = BINARY if binary else Interval(-100, 100)
        new = Neurons(f"p{len(self.neurons)}", kind, shape, depth, interval, resets=kind == "lif")
        self.neurons.append(new)
        for source, pattern, port in inputs:
            name, delay = f"{source.name}->{new.name}.{port}#{len(self.synapses)}", depth - 1 - source.depth
            found = Synapses(name, source.name, new.name, pattern, source.shape, shape, port, delay)
            self.synapses.append(found)
        return new


def random_network(seed: int, graded: bool = True, layers: int = 5, convolutions: bool = False) -> ChipNetwork:
    """A network of a source and `layers` layers; a layer may be several populations.

    graded: with payloads, products, sums and maxima.  convolutions: with nothing else.
    """
    random = np.random.default_rng(seed)
    grower = Grower(random, graded)
    channels, height, width = (int(random.integers(1, n)) for n in (5, 9, 9))
    grower.add("source", (channels, height, width))
    makers = [_conv, _conv, _dense, _relay, _reorder] + [_product, _max, _sums] * graded
    makers = [_conv] if convolutions else makers
    for _ in range(layers):
        makers[int(random.integers(len(makers)))](grower)
    if not convolutions:
        _dense(grower, "sum" if graded else "lif")
    order = tuple(grower.neurons)
    return ChipNetwork(f"random{seed}", "loihi-lava", 4, order, tuple(grower.synapses), order[-1].name)


def _last(grower: Grower) -> Neurons:
    """A population to read: most often the last."""
    back = int(grower.random.integers(1, min(3, len(grower.neurons) + 1)))
    return grower.neurons[-back] if grower.random.random() < 0.3 else grower.neurons[-1]


def _image(shape: Shape) -> tuple[int, int, int]:
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, prod(shape[1:]))


def _conv(grower: Grower) -> None:
    source, random = _last(grower), grower.random
    channels, *size = _image(source.shape)
    groups = channels if random.random() < 0.3 else 1
    out = groups * int(random.integers(1, 5))
    kernel = [int(random.integers(1, min(4, n + 1))) for n in size]
    stride = [int(random.integers(1, 3)) for _ in size]
    padding = [int(random.integers(0, k)) for k in kernel]
    size_out = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, padding, kernel, stride, strict=True)]
    weight = random.integers(-8, 8, (out, channels // groups, *kernel))
    to, of = _grid((out, *size_out)), _grid((channels, *size))
    sizes = (size[0], size[1]), (size_out[0], size_out[1])
    filters = Filters(weight, (stride[0], stride[1]), (padding[0], padding[1]), groups, *sizes, of, to)
    inputs: list[tuple[Neurons, Nest | Filters, Port]] = [(source, filters, "a_in")]
    grower.add("lif", (out, *size_out), *inputs)


def _grid(shape: Shape) -> Grid:
    return Grid(shape[1] * shape[2], shape[2], 1)


def _dense(grower: Grower, kind: PopulationKind = "lif") -> None:
    source, count = _last(grower), int(grower.random.integers(1, 12))
    weight = grower.random.integers(-3, 4, (count, source.size))
    nest = Nest((Axis(count, 1, 0), Axis(source.size, 0, 1)), 0, 0, weight)
    grower.add(kind, (count,), (source, nest, "a_in"))


def _loops(shape: Shape, to: Shape, of: Shape, weight: int = 1) -> Nest:
    axes = tuple(Axis(n, t, s) for n, t, s in zip(shape, to, of, strict=True))
    return Nest(axes, 0, 0, np.asarray(weight))


def _strides(shape: Shape) -> Shape:
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def _relay(grower: Grower) -> None:
    """Repeats one population, and adds another of the same shape where there is one: a residual."""
    source = _last(grower)
    others = [n for n in grower.neurons if n.shape == source.shape]
    other = others[int(grower.random.integers(len(others)))]
    steps = _strides(source.shape)
    sources = {source.name: source, other.name: other}.values()
    parts = [(one, _loops(source.shape, steps, steps), "a_in") for one in sources]
    grower.add("lif", source.shape, *parts)


def _reorder(grower: Grower) -> None:
    """The axes of a population in another order."""
    source = _last(grower)
    order = [int(i) for i in grower.random.permutation(len(source.shape))]
    shape = tuple(source.shape[i] for i in order)
    of = _strides(source.shape)
    grower.add("lif", shape, (source, _loops(shape, _strides(shape), tuple(of[i] for i in order)), "a_in"))


def _product(grower: Grower) -> None:
    """left [n, k] times right [k, m], a neuron a term [n, k, m], summed over k."""
    source = _last(grower)
    n, k = source.shape[0], prod(source.shape[1:])
    m = int(grower.random.integers(1, 4))
    right = _relayed(grower, source, k * m)
    terms = (n, k, m)
    steps = _strides(terms)
    left = _loops(terms, steps, (k, 1, 0)), _loops(terms, steps, (0, m, 1))
    product = grower.add("product", terms, (source, left[0], "a_in1"), (right, left[1], "a_in2"))
    grower.add("sum", (n, m), (product, _loops(terms, (m, 0, 1), steps), "a_in"))


def _relayed(grower: Grower, source: Neurons, count: int) -> Neurons:
    weight = grower.random.integers(-3, 4, (count, source.shape[0]))
    nest = Nest((Axis(count, 1, 0), Axis(source.shape[0], 0, prod(source.shape[1:]))), 0, 0, weight)
    return grower.add("lif", (count,), (source, nest, "a_in"))


def _max(grower: Grower) -> None:
    """Any of the rows: the positive part of pairs."""
    source = _last(grower)
    if source.size < 2:
        return
    half = source.size // 2
    nests = [Nest((Axis(half, 1, 2),), 0, at, np.asarray(sign)) for at, sign in ((0, 1), (1, -1))]
    grower.add("relu", (half,), *[(source, nest, "a_in") for nest in nests])


def _sums(grower: Grower) -> None:
    """The sum over the first axis."""
    source = _last(grower)
    shape = source.shape[1:] or (1,)
    steps = _strides(source.shape)
    grower.add("sum", shape, (source, _loops(source.shape, (0, *_strides(source.shape[1:])), steps), "a_in"))
