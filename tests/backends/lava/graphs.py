"""Mapped graphs made by hand, and an executor for them that shares no code with anything else.

The executor knows nothing of depths, delays or streams: it computes each sample and step from the definition alone,
so it also tests that the timing rules give every population the input of the right sample and step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.mapped import (
    ConvWeights,
    Crossbar,
    MappedGraph,
    Population,
    PopulationKind,
    SparseWeights,
    Views,
)
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.types import BINARY, BYTE, Interval

Int = NDArray[np.int64]
WIDE = Interval(-(1 << 20), 1 << 20)
LEAKY = {"dv": 2048, "resets": True}


@dataclass
class Builder:
    """Collects populations and crossbars; depths follow from the crossbars' delays."""

    seed: int
    populations: list[Population] = field(default_factory=list)
    crossbars: list[Crossbar] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def add(self, name: str, kind: PopulationKind, shape: tuple[int, ...], depth: int, **fields: object) -> str:
        interval = BINARY if kind == "lif" else fields.pop("interval", WIDE)
        self.populations.append(Population(name, kind, shape, depth, interval, **fields))  # type: ignore[arg-type]
        return name

    def connect(self, source: str, target: str, matrix: Int, **fields: object) -> None:
        """Sparse synapses from a dense [target, source] matrix."""
        rows, cols = np.nonzero(matrix)
        exponent = int(fields.pop("exponent", 0))  # type: ignore[call-overload]
        weights = SparseWeights(rows, cols, matrix[rows, cols], exponent)
        name = f"{source}>{target}.{len(self.crossbars)}"
        self.crossbars.append(Crossbar(name, source, target, weights, **fields))  # type: ignore[arg-type]

    def convolve(self, source: str, target: str, conv: ConvWeights) -> None:
        name = f"{source}>{target}.{len(self.crossbars)}"
        self.crossbars.append(Crossbar(name, source, target, conv))

    def weights(self, *shape: int, low: int = -128, high: int = 127, keep: float = 1.0) -> Int:
        values = self.rng.integers(low, high + 1, shape)
        return np.where(self.rng.random(shape) < keep, values, 0)


def every_kind(seed: int, steps: int = 3) -> MappedGraph:
    """All kinds of populations and crossbars: strided, grouped and permuted convolutions, delays, sums, a maximum of
    two by ReLU, products, stateless LIFs, exponents, biases, views."""
    b = Builder(seed)
    _convolutions(b)
    _residual_and_maximum(b)
    _attention(b)
    views: dict[str, tuple[str, Views]] = {"two": ("two", (("permute", (1, 0)), ("reshape", (6, 3, 4))))}
    return _graph(b, steps, views)


def _convolutions(b: Builder) -> None:
    b.add("pixels", "source", (2, 5, 6), 0, interval=BYTE)
    bias = b.rng.integers(-4096, 4096, (4, 1, 1))
    b.add("one", "lif", (4, 3, 4), 1, vth=2000, bias_mant=bias, bias_exp=3, value="block.one_lif", **LEAKY)
    conv = ConvWeights(b.weights(4, 2, 3, 2, low=-40, high=40), (2, 2), (1, 1), 1, (), ())
    b.convolve("pixels", "one", conv)
    # A grouped convolution between other layouts: through tokens, and tokens out.
    into: Views = (("reshape", (4, 12)), ("permute", (1, 0)), ("permute", (1, 0)), ("reshape", (4, 3, 4)))
    out: Views = (("reshape", (6, 12)), ("permute", (1, 0)))
    b.add("two", "lif", (12, 6), 2, vth=60, bias_mant=np.int64(-11), bias_exp=6, value="two", **LEAKY)
    b.convolve("one", "two", ConvWeights(b.weights(6, 2, 3, 3), (1, 1), (1, 1), 2, into, out))


def _residual_and_maximum(b: Builder) -> None:
    """Counts of old and new spikes, which a convolution takes; then a + relu(b - a) of its two halves."""
    same = np.eye(72, dtype=np.int64)
    b.add("skip", "lif", (12, 6), 4, vth=100, value="skip_lif", **LEAKY)
    b.connect("two", "skip", b.weights(72, 72, keep=0.3), delay=1)
    b.add("count", "sum", (12, 6), 7, interval=Interval(0, 2))
    b.connect("two", "count", same, delay=4)
    b.connect("skip", "count", same, delay=2)
    b.add("wide", "sum", (2, 36), 8)
    into: Views = (("permute", (1, 0)), ("reshape", (6, 3, 4)))
    b.convolve("count", "wide", ConvWeights(b.weights(6, 6, 1, 1), (1, 1), (0, 0), 1, into, (("reshape", (2, 36)),)))
    b.add("over", "relu", (36,), 9)
    b.connect("wide", "over", same[36:] - same[:36])
    bias = b.rng.integers(-64, 64, 36)
    b.add("max", "lif", (36,), 10, vth=50, bias_mant=bias, bias_exp=7, value="max_lif", **LEAKY)
    b.connect("wide", "max", same[:36], delay=1)
    b.connect("over", "max", same[:36, :36])


def _attention(b: Builder) -> None:
    """A token mask (OR, broadcast, AND with spikes that waited), then products of signed payloads, summed."""
    same, tokens = np.eye(36, dtype=np.int64), np.eye(6, dtype=np.int64)
    b.add("mask", "lif", (6,), 11, dv=4095, value="mask_lif")
    b.connect("max", "mask", np.kron(tokens, np.ones((1, 6), np.int64)))
    b.add("gate", "lif", (36,), 12, vth=1, dv=4095)
    b.connect("mask", "gate", np.kron(tokens, np.ones((6, 1), np.int64)))
    b.connect("max", "gate", same, delay=1)
    b.add("left", "sum", (36,), 13)
    b.connect("gate", "left", b.weights(36, 36, low=-2, high=2))
    b.add("right", "sum", (36,), 13)
    b.connect("max", "right", b.weights(36, 36, low=-2, high=2), delay=2)
    b.add("product", "product", (6, 6), 14)
    b.connect("left", "product", same, port="a_in1")
    b.connect("right", "product", same, port="a_in2")
    b.add("attend", "lif", (6,), 15, vth=20, value="attn_lif", **LEAKY)
    b.connect("product", "attend", b.weights(6, 36, low=-1, high=1))
    b.add("logits", "sum", (5,), 16)
    b.connect("attend", "logits", b.weights(5, 6), exponent=3)


def one_weight_kind(weight: int) -> MappedGraph:
    """A crossbar whose weights are all the same: Lava's sign mode must not follow the data."""
    b = Builder(0)
    b.add("pixels", "source", (1, 2, 2), 0, interval=BYTE)
    b.add("lif", "lif", (3,), 1, vth=0, dv=2048, resets=True, value="lif")
    b.connect("pixels", "lif", np.full((3, 4), weight))
    b.add("logits", "sum", (2,), 2)
    b.connect("lif", "logits", np.full((2, 3), weight))
    return _graph(b, 2, {})


def slow() -> MappedGraph:
    """Large enough that a run of many images takes minutes."""
    b = Builder(1)
    b.add("pixels", "source", (1, 16, 16), 0, interval=BYTE)
    b.add("lif", "lif", (32, 16, 16), 1, vth=100, dv=2048, resets=True, value="lif")
    b.convolve("pixels", "lif", ConvWeights(b.weights(32, 1, 3, 3, low=-50, high=50), (1, 1), (1, 1), 1, (), ()))
    b.add("logits", "sum", (2,), 2)
    b.connect("lif", "logits", b.weights(2, 8192))
    return _graph(b, 4, {})


def _graph(b: Builder, steps: int, views: dict[str, tuple[str, Views]]) -> MappedGraph:
    bias = b.rng.integers(-500, 500, b.populations[-1].shape)
    encoding = PixelCode(1 / 255, BYTE)
    parts = tuple(b.populations), tuple(b.crossbars)
    return MappedGraph("net", "loihi-lava", steps, encoding, *parts, "logits", bias, 0.25, views)


def images_of(graph: MappedGraph, samples: int, seed: int = 0) -> NDArray[np.float32]:
    """Pixels in 0..1, the extremes among them."""
    shape = graph.populations[0].shape
    pixels = np.random.default_rng(seed).random((samples, *shape), dtype=np.float32)
    pixels[0] = 1.0
    return pixels


@dataclass
class Expected:
    """Logits [N, classes]; spikes and membranes [N, T, *shape] of the LIF values."""

    logits: Int
    spikes: dict[str, Int]
    membrane: dict[str, Int]


def execute(graph: MappedGraph, images: NDArray[np.float32]) -> Expected:
    """What the definition gives, sample by sample and step by step."""
    pixels = np.clip(np.rint(images / np.float32(graph.encoding.step)), 0, 255).astype(np.int64)
    lifs = [p for p in graph.populations if p.kind == "lif"]
    shape = len(images), graph.steps
    out = Expected(
        np.repeat(graph.output_bias[None], len(images), 0),
        {p.name: np.zeros((*shape, *p.shape), np.int64) for p in lifs},
        {p.name: np.zeros((*shape, *p.shape), np.int64) for p in lifs},
    )
    matrices = {c.name: dense(graph, c) for c in graph.crossbars}
    for sample, step in np.ndindex(*shape):
        sent: dict[str, Int] = {}
        for p in graph.populations:
            inputs: dict[str, Int] = {}
            for c in graph.crossbars:
                if c.target == p.name:
                    inputs[c.port] = inputs.get(c.port, 0) + matrices[c.name] @ sent[c.source].ravel()
            values = {port: total.reshape(p.shape) for port, total in inputs.items()}
            if p.kind == "lif":
                # A stateless one keeps nothing: dv = 4095 leaves v / 4096, below one unit for these weights.
                old = out.membrane[p.name][sample, step - 1] if step and p.resets else np.zeros(p.shape, np.int64)
                sent[p.name], out.membrane[p.name][sample, step] = fire(p, values["a_in"], old)
                out.spikes[p.name][sample, step] = sent[p.name]
            else:
                sent[p.name] = {
                    "source": lambda: pixels[sample],  # noqa: B023
                    "sum": lambda: values["a_in"],  # noqa: B023
                    "relu": lambda: np.maximum(values["a_in"], 0),  # noqa: B023
                    "product": lambda: values["a_in1"] * values["a_in2"],  # noqa: B023
                }[p.kind]()
        out.logits[sample] += sent[graph.output]
    return Expected(out.logits, _viewed(graph, out.spikes), _viewed(graph, out.membrane))


def _viewed(graph: MappedGraph, arrays: dict[str, Int]) -> dict[str, Int]:
    """The arrays of populations as those of the values that they compute."""
    viewed = {}
    for p in graph.populations:
        if p.name in arrays and p.value:
            views = graph.views.get(p.value, ("", ()))[1]
            viewed[p.value] = np.array([[through(step, views) for step in sample] for sample in arrays[p.name]])
    return viewed


def fire(p: Population, activation: Int, old: Int) -> tuple[Int, Int]:
    """One LIF step, neuron by neuron, in Python integers."""
    if np.abs(activation).max() > 2**17 - 1:
        raise ValueError(f"{p.name}: the test's graph leaves 17 bits")
    bias = np.broadcast_to(p.bias_mant, p.shape).ravel().tolist()
    spikes, after = [], []
    for a, v, mant in zip(activation.ravel().tolist(), old.ravel().tolist(), bias, strict=True):
        kept = abs(v) * (4096 - p.dv) // 4096
        new = (kept if v >= 0 else -kept) + a * 64 + mant * 2**p.bias_exp
        new = max(-(2**23 - 1), min(2**23 - 1, new))
        spikes.append(int(new > p.vth * 64))
        after.append(0 if spikes[-1] else new)
    return np.array(spikes).reshape(p.shape), np.array(after).reshape(p.shape)


def dense(graph: MappedGraph, c: Crossbar) -> Int:
    """The crossbar as a matrix [target, source]; a convolution by its definition, element by element."""
    source, target = graph.by_name[c.source], graph.by_name[c.target]
    matrix = np.zeros((target.size, source.size), np.int64)
    w = c.weights
    if isinstance(w, SparseWeights):
        matrix[w.rows, w.cols] = w.weights * 2**w.exponent
        return matrix
    cols = through(np.arange(source.size).reshape(source.shape), w.in_views)
    windows = zip(cols.shape[1:], w.padding, w.weight.shape[2:], w.stride, strict=True)
    sizes = [(n + 2 * p - k) // s + 1 for n, p, k, s in windows]
    order = through(np.arange(target.size).reshape(w.weight.shape[0], *sizes), w.out_views).ravel()
    per_group = w.weight.shape[0] // w.groups
    for row, result in enumerate(order):
        co, y, x = np.unravel_index(result, (w.weight.shape[0], *sizes))
        for ci, ky, kx in np.ndindex(*w.weight.shape[1:]):
            sy, sx = y * w.stride[0] + ky - w.padding[0], x * w.stride[1] + kx - w.padding[1]
            if 0 <= sy < cols.shape[1] and 0 <= sx < cols.shape[2]:
                channel = co // per_group * w.weight.shape[1] + ci
                matrix[row, cols[channel, sy, sx]] += w.weight[co, ci, ky, kx]
    return matrix


def through(array: Int, views: Views) -> Int:
    """An array through views, by their definition."""
    for kind, dims in views:
        array = array.reshape(dims) if kind == "reshape" else array.transpose(dims)
    return array
