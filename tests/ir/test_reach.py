"""The reach of random networks holds everything that all their images make them send."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from neurodeploy.ir.mapped import ConvWeights, MappedGraph, PopulationKind
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.reach import reaches
from neurodeploy.ir.types import Interval
from tests.backends.lava.graphs import Builder, Int, dense

PIXELS, WIDE = Interval(-1, 2), Interval(-(10**6), 10**6)
KINDS: tuple[PopulationKind, ...] = ("relu", "relu", "sum", "product")


def random_network(seed: int) -> MappedGraph:
    """Three pixels, then five populations of two neurons, each fed by some of those before it."""
    b = Builder(seed)
    b.add("p0", "source", (3,), 0, interval=PIXELS)
    for i in range(1, 6):
        kind = KINDS[b.rng.integers(len(KINDS))]
        b.add(f"p{i}", kind, (2,), i, interval=WIDE)
        for port in ("a_in1", "a_in2") if kind == "product" else ("a_in",):
            for j in [j for j in range(i) if b.rng.random() < 0.6] or [i - 1]:
                matrix = b.weights(2, b.populations[j].size, low=-2, high=2, keep=0.6)
                b.connect(f"p{j}", f"p{i}", matrix, port=port, delay=i - 1 - j)
    parts = tuple(b.populations), tuple(b.crossbars)
    return MappedGraph("net", "loihi-lava", 1, PixelCode(1.0, PIXELS), *parts, "p5", np.zeros(2, np.int64), 1.0, {})


def all_sent(graph: MappedGraph) -> dict[str, Int]:
    """What every population sends, [neurons, images], for every image there is."""
    sent = {"p0": np.array(list(product(range(PIXELS.lo, PIXELS.hi + 1), repeat=3))).T}
    for p in graph.populations[1:]:
        inputs: dict[str, Int] = {}
        for c in graph.crossbars:
            if c.target == p.name:
                inputs[c.port] = inputs.get(c.port, 0) + dense(graph, c) @ sent[c.source]
        value = np.prod(list(inputs.values()), axis=0)
        sent[p.name] = np.maximum(value, 0) if p.kind == "relu" else value
    return sent


@pytest.mark.parametrize("seed", range(40))
def test_reach_holds_what_is_sent(seed: int) -> None:
    graph = random_network(seed)
    reach = reaches(graph)
    for name, values in all_sent(graph).items():
        low, high = (int(v) for v in np.clip((values.min(), values.max()), WIDE.lo, WIDE.hi))
        assert Interval(low, high).within(reach[name].sent), name


def test_padding_adds_zero_to_what_a_convolution_reads() -> None:
    b, pixels = Builder(0), Interval(2, 3)
    b.add("pixels", "source", (1, 3, 3), 0, interval=pixels)
    b.add("sum", "sum", (1, 3, 3), 1, interval=WIDE)
    b.convolve("pixels", "sum", ConvWeights(np.ones((1, 1, 3, 3), np.int64), (1, 1), (1, 1), 1, (), ()))
    parts = tuple(b.populations), tuple(b.crossbars)
    graph = MappedGraph("net", "loihi-lava", 1, PixelCode(1.0, pixels), *parts, "sum", np.zeros(9, np.int64), 1.0, {})
    assert reaches(graph)["sum"].sent == Interval(0, 27)
