"""Counts packed in words: what upper counts and remainders reach, and the rules of synapses that shift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.errors import VerifyError
from neurodeploy.ir.mapped import Crossbar, MappedGraph, Population, SparseWeights
from neurodeploy.ir.mapped_check import check_mapped
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.reach import reaches
from neurodeploy.ir.types import Interval

ONE, BITS, WORDS, COUNTS = np.arange(4), 3, Interval(0, 63), Interval(0, 7)


def crossbar(source: str, target: str, weight: int, exponent: int = 0, delay: int = 0) -> Crossbar:
    weights = SparseWeights(ONE, ONE, np.full(4, weight), exponent)
    return Crossbar(f"{source}->{target}", source, target, weights, delay=delay)


def words(lower: Interval = COUNTS, weight: int = -1, bits: int = BITS) -> MappedGraph:
    """Words of two counts of three bits, their upper counts, and what is left: the lower ones."""
    populations = (
        Population("word", "source", (4,), 0, WORDS),
        Population("upper", "sum", (4,), 1, COUNTS),
        Population("lower", "sum", (4,), 2, lower),
    )
    crossbars = (
        crossbar("word", "upper", 1, -BITS),
        crossbar("word", "lower", 1, delay=1),
        crossbar("upper", "lower", weight, bits),
    )
    return MappedGraph(
        "net", "loihi-lava", 1, PixelCode(1.0, WORDS), populations, crossbars, "lower", np.zeros(4, np.int64), 1.0, {}
    )


def test_a_remainder_is_as_narrow_as_its_bits() -> None:
    reach = reaches(check_mapped(words()))
    assert reach["upper"].sent == Interval(0, 7)
    assert reach["lower"].sent == Interval(0, 7)


@pytest.mark.parametrize(
    ("weight", "bits", "reach"), [(-1, 2, (-28, 63)), (-2, 3, (-112, 63)), (1, 3, (0, 119))], ids=str
)
def test_what_is_no_remainder_is_not_taken_for_one(weight: int, bits: int, reach: tuple[int, int]) -> None:
    graph = words(Interval(-200, 200), weight, bits)
    assert reaches(check_mapped(graph))["lower"].sent == Interval(*reach)


def test_an_upper_count_that_gets_more_is_no_quotient() -> None:
    """Beside the word shifted it receives the word itself: then word - 8 upper is no remainder."""
    graph = words(Interval(-600, 600))
    more = Crossbar("again", "word", "upper", SparseWeights(ONE, ONE, np.full(4, 1)), delay=0)
    populations = tuple(replace(p, interval=Interval(-600, 600)) if p.name == "upper" else p for p in graph.populations)
    graph = replace(graph, crossbars=(*graph.crossbars, more), populations=populations)
    assert reaches(check_mapped(graph))["lower"].sent == Interval(-560, 63)


def test_a_lower_count_declared_too_narrow_is_found() -> None:
    with pytest.raises(VerifyError, match="ND-M107"):
        check_mapped(words(Interval(0, 6)))


def test_synapses_that_shift_do_not_add_up() -> None:
    graph = words()
    twice = SparseWeights(np.repeat(ONE, 2), np.r_[ONE, ONE][[0, 1, 1, 2, 2, 3, 3, 0]], np.ones(8, np.int64), -BITS)
    crossbars = (replace(graph.crossbars[0], weights=twice), *graph.crossbars[1:])
    with pytest.raises(VerifyError, match="one synapse a neuron where it shifts"):
        check_mapped(replace(graph, crossbars=crossbars))
