"""The code of the input: how pixels, or event counts, become integers of at most 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import EVENTS, Graph, Node
from neurodeploy.ir.types import Interval
from neurodeploy.numerics import Int64

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class PixelCode:
    """Pixels to integers: clip(rint(x / step), lo, hi), rint to even, x and step float32; interval: lo..hi.

    events: a sample is event frames [T, *shape], one a step, and no image that stays for T steps.
    """

    step: float
    interval: Interval
    events: bool = False

    @classmethod
    def of(cls, encode: Node) -> PixelCode:
        """The code of an encode node."""
        span = Interval(encode.integer("lo"), encode.integer("hi"))
        return cls(encode.number("step"), span, encode.op == EVENTS)

    @classmethod
    def of_graph(cls, graph: Graph) -> PixelCode:
        """The code of a quantized graph's input."""
        (encode,) = graph.encoders
        return cls.of(encode)

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value that the code can hold; what lies beyond is clipped."""
        return self.step * self.interval.lo, self.step * self.interval.hi

    def encode(self, images: Pixels) -> Int64:
        """The codes of pixels float32, of their shape."""
        codes = np.rint(images / np.float32(self.step))
        return np.asarray(np.clip(codes, self.interval.lo, self.interval.hi), np.int64)

    def clipped_share(self, images: Pixels) -> float:
        """The share of pixels beyond the range by more than half a code; of event frames, of those with an event."""
        low, high = (self.interval.lo - 0.5) * self.step, (self.interval.hi + 0.5) * self.step
        beyond = int(np.count_nonzero((images < low) | (images > high)))
        return beyond / max(1, np.count_nonzero(images) if self.events else images.size)
