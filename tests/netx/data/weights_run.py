"""What Lava executes of dense weights: `python weights_run.py in.npz out.npz`, each array through netx and lava-nc."""

from __future__ import annotations

import sys

import numpy as np
from lava.lib.dl.netx.utils import optimize_weight_bits
from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights


def sums(weight: np.ndarray, spikes: np.ndarray) -> np.ndarray:
    """What a dense layer sends for all these spikes [in, n]; nothing where netx does not start."""
    try:
        weight, bits, exponent, _ = optimize_weight_bits(weight)
    except OverflowError:
        return np.zeros(0, int)
    mode = determine_sign_mode(weight)
    kept = truncate_weights(clip_weights(weight, mode, num_bits=8), mode, bits)
    return kept @ spikes >> -exponent


if __name__ == "__main__":
    given = np.load(sys.argv[1])
    names = sorted({name[1:] for name in given})
    np.savez(sys.argv[2], **{name: sums(given[f"w{name}"], given[f"s{name}"]) for name in names})
