"""The lemmas of integer-count LIFs, against the real numbers they embed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from neurodeploy.ir.types import Interval
from neurodeploy.numerics import LOIHI_LAVA, lif_step
from neurodeploy.quantize.counts import CountEmbedding, embed_counts


def integer_spikes(counts: np.ndarray, embedding: CountEmbedding) -> np.ndarray:
    """Spikes [T, n] of the embedded LIF."""
    membrane, spikes = np.zeros(counts.shape[1:], np.int64), []
    for step in counts:
        fired, membrane = lif_step(
            step << embedding.weight_exp, membrane, np.zeros((), np.int64), embedding.vth, embedding.dv
        )
        spikes.append(fired)
    return np.stack(spikes)


def exact_spikes(counts: np.ndarray, theta: Fraction, decay: Fraction) -> np.ndarray:
    """Spikes [T, n] of w = (1 - decay) w + count, firing at w >= theta, in fractions."""
    out = np.zeros(counts.shape, np.int64)
    for column in range(counts.shape[1]):
        w = Fraction(0)
        for t, count in enumerate(counts[:, column]):
            w = (1 - decay) * w + int(count)
            if w >= theta:
                out[t, column], w = 1, Fraction(0)
    return out


@pytest.mark.parametrize("steps", [1, 2, 4, 6, 8])
@pytest.mark.parametrize("theta", [Fraction(8), Fraction(4), Fraction(3), Fraction(5, 2), Fraction(17, 8)])
def test_half_decay_is_exact(steps: int, theta: Fraction) -> None:
    counts = np.random.default_rng(steps).integers(-6, 12, (steps, 400))
    embedding = embed_counts(float(theta), 0.5, Interval(-6, 12), steps, LOIHI_LAVA)
    assert embedding.exact and embedding.weight_exp == steps - 1
    assert (integer_spikes(counts, embedding) == exact_spikes(counts, theta, Fraction(1, 2))).all()


@pytest.mark.parametrize("decay", [Fraction(1, 2), Fraction(1, 3), Fraction(0)])
def test_threshold_of_one_is_an_or(decay: Fraction) -> None:
    counts = np.random.default_rng(1).integers(0, 3, (10, 300))
    embedding = embed_counts(1.0, float(decay), Interval(0, 3), 10, LOIHI_LAVA)
    assert embedding.lemma == "or" and embedding.vth == 0
    spikes = integer_spikes(counts, embedding)
    assert (spikes == (counts > 0)).all()
    assert (spikes == exact_spikes(counts, Fraction(1), decay)).all()


def test_integrate_and_fire_is_exact_unscaled() -> None:
    counts = np.random.default_rng(2).integers(-4, 7, (8, 300))
    embedding = embed_counts(5.5, 0.0, Interval(-4, 7), 8, LOIHI_LAVA)
    assert embedding.exact and embedding.weight_exp == 0
    assert (integer_spikes(counts, embedding) == exact_spikes(counts, Fraction(11, 2), Fraction(0))).all()


def test_a_smaller_weight_would_not_be_exact() -> None:
    """The side condition of the lemma is needed: one bit less, and spikes differ."""
    counts = np.random.default_rng(3).integers(0, 12, (4, 4000))
    embedding = embed_counts(8.0, 0.5, Interval(0, 12), 4, LOIHI_LAVA)
    weaker = type(embedding)(vth=31, dv=2048, weight_exp=2, exact=False, lemma="")
    assert (integer_spikes(counts, weaker) != exact_spikes(counts, Fraction(8), Fraction(1, 2))).any()


def test_what_cannot_be_exact_says_so() -> None:
    wide = embed_counts(8.0, 0.5, Interval(0, 60_000), 4, LOIHI_LAVA)
    odd = embed_counts(8.0, 0.3, Interval(0, 100), 4, LOIHI_LAVA)
    assert not wide.exact and wide.weight_exp < 3
    assert not odd.exact and odd.lemma == "rounded"


@pytest.mark.torch
@pytest.mark.parametrize(("theta", "scale"), [(0.5, 0.125), (0.5, 1.0), (0.5, 0.25)])
def test_equals_spikingjelly(theta: float, scale: float) -> None:
    torch = pytest.importorskip("torch")
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    counts = np.random.default_rng(4).integers(0, 20, (4, 5000))
    node = neuron.LIFNode(tau=2.0, v_threshold=theta, v_reset=0.0, step_mode="m")
    with torch.no_grad():
        wanted = node(torch.tensor(counts * scale, dtype=torch.float32)).numpy().astype(np.int64)
    embedding = embed_counts(theta / (0.5 * scale), 0.5, Interval(0, 20), 4, LOIHI_LAVA)
    assert embedding.exact
    assert (integer_spikes(counts, embedding) == wanted).all()
