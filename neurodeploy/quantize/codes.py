"""How pixels and event counts may be coded as integers of at most 8 bits; `pixels` measures which code serves best.

Pixels fill the range of the calibration images with 2^p codes. Event counts are integers already: they stay what they
are, and the codes differ in how far they reach. A wide reach leaves the weights of the first layer few bits, a narrow
one clips the rare frames in which one place saw many events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.types import Interval

Float32 = NDArray[np.float32]

PIXEL_BITS = (8, 7, 6, 5, 4, 3)
COUNT_BITS = (*PIXEL_BITS, 2, 1)
HEADROOM = 1.05  # a code of event counts that reaches further may err so many times as often as the best one


@dataclass(frozen=True)
class Code(PixelCode):
    """A code that competes.

    error: share of first-layer spikes that differ from the float layer's; None where it is not measured, infinite where
    no scale fits.
    """

    error: float | None = None

    @property
    def bits(self) -> int:
        """The width of the codes."""
        return (self.interval.hi - self.interval.lo).bit_length()

    def __str__(self) -> str:
        return f"{self.interval} step {self.step:.4g}"


def candidates(images: Float32, events: bool) -> list[Code]:
    """The codes that compete; the first one is the widest that clips nothing."""
    if events and bool((images == np.rint(images)).all()):
        return list(dict.fromkeys(_count_codes(images)))
    return [replace(pixel_code(images, bits), events=events) for bits in PIXEL_BITS]


def pixel_code(images: Float32, bits: int) -> Code:
    """The code that spans the calibration images; signed where a pixel is below zero. Zero stays zero (padding)."""
    low, high = float(images.min()), float(images.max())
    span = _span(bits, low < 0)
    return Code(float(np.float32((max(-low, high) or 1.0) / span.hi)), span)


def _count_codes(images: Float32) -> Iterator[Code]:
    """Integer steps alone: for each width the least that clips nothing, and 1, which clips what lies beyond."""
    low, high = float(images.min()), float(images.max())
    for bits in COUNT_BITS:
        span = _span(bits, low < 0)
        if span.hi == 0:
            return  # one bit has no room for a sign
        if bits in PIXEL_BITS:
            yield Code(float(-(-max(-low, high) // span.hi)), span, events=True)
        yield Code(1.0, span, events=True)


def _span(bits: int, signed: bool) -> Interval:
    top = (1 << (bits - signed)) - 1
    return Interval(-top - 1 if signed else 0, top)


def best_code(codes: Sequence[Code], events: bool) -> Code:
    """The code of least error, more bits where they err equally; for events, the widest reach that costs next to none.

    The counts of frames that the calibration has not seen may lie beyond those that it has. The first one where nothing
    is measured.
    """
    errors = {code: code.error for code in codes if code.error is not None}
    if not errors:
        return codes[0]
    least = min(errors, key=lambda code: (errors[code], -code.bits))
    if not events:
        return least
    good = (code for code in errors if errors[code] <= HEADROOM * errors[least] or code == least)
    return max(good, key=lambda code: (code.range[1], -errors[code]))
