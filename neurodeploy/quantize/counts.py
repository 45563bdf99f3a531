"""LIFs that add integer counts (attention): embedded exactly, without any rounding, where the lemmas hold.

In counts, w = v / (gain * scale) obeys w = (1 - decay) w + count, and fires at w >= theta = threshold / (gain * scale).
* theta <= 1, counts >= 0: any count fires at once and none leaves a membrane, so the LIF is an OR: vth = 0, no state.
* decay = 1/2 and T steps: w is a multiple of 2^-(T-1); with synapses of weight 2^k, k >= T - 1, halving never
  truncates below one weight unit, and w 2^k > ceil(theta 2^k) - 1 is w >= theta.
* decay = 0: w is an integer, k = 0 is exact.
Checked against SpikingJelly's neurons in tests/quantize/test_counts.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from neurodeploy.ir.types import Interval
from neurodeploy.numerics import Profile
from neurodeploy.quantize.scales import decay_to_dv

HALF = 0.5
ROUNDING = 1e-6  # float noise of the threshold that a trained model carries, relative


@dataclass(frozen=True)
class CountEmbedding:
    """Attributes of a LIF on counts; `exact` says whether a lemma holds, `lemma` which."""

    vth: int
    dv: int
    weight_exp: int
    exact: bool
    lemma: str


def embed_counts(theta: float, decay: float, counts: Interval, steps: int, profile: Profile) -> CountEmbedding:
    """The embedding of a LIF on integer counts. theta: threshold in counts. counts: proven interval of one step."""
    if counts.lo >= 0 and theta <= 1 + ROUNDING:
        return CountEmbedding(0, profile.decay_unit - 1, 0, True, "or")
    if decay == 0:
        return CountEmbedding(_below(theta, 0), 0, 0, True, "integer")
    exponent = steps - 1
    while exponent > 0 and not _fits(theta, counts, exponent, profile):
        exponent -= 1
    exact = decay == HALF and exponent == steps - 1
    lemma = "pre-scaled" if exact else "rounded"
    return CountEmbedding(_below(theta, exponent), decay_to_dv(decay, profile), exponent, exact, lemma)


def _below(theta: float, exponent: int) -> int:
    """The vth for which `v > vth` on integers is `v >= theta 2^exponent`."""
    scaled = theta * (1 << exponent)
    return max(ceil(scaled - ROUNDING * max(1.0, scaled)) - 1, 0)


def _fits(theta: float, counts: Interval, exponent: int, profile: Profile) -> bool:
    """Half of the activation's width, so that a membrane that adds up to twice the input stays in its own."""
    top = max(counts.magnitude << (exponent + 1), _below(theta, exponent) + (counts.magnitude << exponent))
    return top <= profile.activation_max
