"""What netx executes of the weights of a file: the integers of lava-dl 0.6.0 on lava-nc 0.10.0.

A convolution takes them as they are (lava/proc/conv/models.py). A dense layer goes through optimize_weight_bits
(lava/lib/dl/netx/utils.py), which shifts the matrix up as far as its range allows, and through clip_weights and
truncate_weights of lava/utils/weightutils.py; the sums are shifted back. That is the same integers, except where the
signs that the two sides see, or their limits, differ: in matrices without a positive weight, whose least one is a power
of two. There -256 is clipped to -255 and then truncated.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log2

import numpy as np

from neurodeploy.numerics import Int64

BITS = 8
LOW, HIGH = -256, 254  # of a matrix with both signs
MOST = 255  # magnitude in a matrix of one sign


class NotExecuted(Exception):  # noqa: N818  (a verdict, turned into a Finding by whoever reads the layer)
    """netx cannot run these weights, or not as integers of one matrix; the text says why."""


@dataclass(frozen=True)
class Split:
    """Integer weights as int8 times 2^exponent."""

    weight: Int64
    exponent: int


def split(weights: Int64) -> Split | None:
    """Weights as int8 and the least exponent that holds them; None where there is none."""
    for exponent in range(BITS + 1):
        scaled = weights >> exponent
        if (scaled << exponent == weights).all() and scaled.min(initial=0) >= -128 and scaled.max(initial=0) <= 127:
            return Split(scaled, exponent)
    return None


def dense_as_executed(weights: Int64) -> Int64:
    """The integers that netx multiplies spikes with in a dense layer of these weights, [out, in].

    Raises NotExecuted where it cannot run them, or where the shift back loses bits of sums, which no matrix says.
    """
    low, high = int(weights.min()), int(weights.max())
    if low < 0 < high:
        weights = np.clip(weights, LOW, HIGH)
        low, high = int(weights.min()), int(weights.max())
    elif max(-low, high) > MOST + (low < 0):
        raise NotExecuted(f"weights of one sign beyond {MOST} in magnitude")
    shift, spare = _shift(low, high), _zeros(weights)
    mixed = low < 0 < high
    truncated = shift + spare - _signed(low, high) + mixed  # bits
    if truncated < 0:
        raise NotExecuted("bits to truncate below zero")
    shifted = weights << shift
    size = np.clip(shifted, LOW, MOST) if mixed else np.minimum(np.abs(shifted), MOST)
    kept = (size >> truncated) << truncated
    executed = kept if mixed or low >= 0 else -kept
    if (executed & ((1 << shift) - 1)).any():
        raise NotExecuted("sums from which bits are lost")
    unshifted: Int64 = executed >> shift
    return unshifted


def _signed(low: int, high: int) -> bool:
    """Whether optimize_weight_bits takes them as of both signs; it asks high < 0, and Lava later high <= 0."""
    return low < 0 <= high


def _shift(low: int, high: int) -> int:
    """scale_bits of optimize_weight_bits."""
    if low == high == 0:
        raise NotExecuted("weights that are all 0: netx divides by the largest")
    if _signed(low, high):
        scales = [127 / high] if high else []
        return floor(log2(min([*scales, -128 / low]))) + 1
    return floor(log2(-256 / low if high < 0 else 255 / high))


def _zeros(weights: Int64) -> int:
    """Bits, 8 at most, that are zero at the end of every weight."""
    ends = int(np.bitwise_or.reduce(np.abs(weights), axis=None)) | 1 << BITS
    return (ends & -ends).bit_length() - 1
