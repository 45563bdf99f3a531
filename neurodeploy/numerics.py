"""The written integer arithmetic of a target profile: explicit int64 in, int64 out.

Profile `loihi-lava` is the arithmetic of Lava's bit-accurate CPU models (lava-nc 0.10.0,
lava/proc/lif/models.py, PyLifModelBitAcc; checked against them in tests/backends/lava):

    u = a * 2^6                                   |a| <= 2^17 - 1, proven, never wrapped
    v = trunc0(v * (4096 - dv) / 4096) + u + bias_mant * 2^bias_exp
    v = clip(v, -(2^23 - 1), 2^23 - 1)
    s = v > vth * 2^6 ;  v = 0 where s

A neuron whose synaptic current has a memory (attribute du below 4096; CUBA of SLAYER) keeps a part of it, also where it
fires:

    u = trunc0(u * (4096 - du) / 4096) + a * 2^6  |u| <= 2^23 - 1, proven, never wrapped
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
NO_MEMORY = 4096  # du of a synaptic current that lasts for its step alone


def plain(value: object) -> object:
    """The Python number of a NumPy scalar, such as one of a sweep; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class Profile:
    """The widths of a target's arithmetic; every number in bits unless its name says otherwise."""

    name: str = "loihi-lava"
    weight_bits: int = 8  # signed synaptic weight, -128..127
    activation_bits: int = 17  # |a| <= 2^17 - 1: Lava's u = a << 6 flips sign or wraps beyond
    state_bits: int = 24  # membrane, signed: |v| <= 2^23 - 1
    threshold_bits: int = 17  # unsigned mantissa vth, one a population of the chip
    threshold_shift: int = 6  # v and vth carry 6 fractional bits over the weight unit
    decay_bits: int = 12  # dv in 0..4095, v keeps (4096 - dv) / 4096; du in 1..4096 likewise, Lava's own is du - 1
    bias_bits: int = 13  # signed mantissa
    bias_exponent_max: int = 7
    payload_bits: int = 24  # signed payload of a graded spike
    input_payload_bits: int = 8  # payload of a graded spike into a convolution: 0..255 or -128..127
    delay_max: int = 62  # time steps a synapse can hold a spike back
    chip: bool = True  # whether a chip has it; else the CPU backends alone run it, and no network is mapped onto it

    @property
    def activation_max(self) -> int:
        """Largest |a|, in weight units."""
        return (1 << self.activation_bits) - 1

    @property
    def state_max(self) -> int:
        """Largest |v|, in membrane units (2^-6 of a weight unit)."""
        return (1 << (self.state_bits - 1)) - 1

    @property
    def threshold_max(self) -> int:
        """Largest vth, in weight units."""
        return (1 << self.threshold_bits) - 1

    @property
    def payload_max(self) -> int:
        """Largest absolute payload of a graded spike."""
        return (1 << (self.payload_bits - 1)) - 1

    @property
    def decay_unit(self) -> int:
        """The integer that stands for a decay of one."""
        return 1 << self.decay_bits


LOIHI_LAVA = Profile()
# The same equations in the registers of any CPU: what the ONNX bodies and the kernels hold in int32, 2^24 where a
# value passes a float32 (max-pool). No chip has these widths; the mapping proves a network again for its chip.
INT32 = Profile(
    name="int32",
    activation_bits=24,
    state_bits=32,
    threshold_bits=24,
    bias_bits=30,
    bias_exponent_max=0,
    payload_bits=25,
    chip=False,
)
PROFILES = {profile.name: profile for profile in (LOIHI_LAVA, INT32)}


def lif_step(
    activation: Int64, membrane: Int64, bias: Int64, vth: Int64 | int, dv: int, profile: Profile = LOIHI_LAVA
) -> tuple[Int64, Int64]:
    """One time step of a LIF population.

    activation: summed synaptic input in weight units, any shape.  membrane: v before the step, membrane units.
    bias: bias_mant * 2^bias_exp, membrane units, broadcasts.  vth in weight units, broadcasts; dv in 1/4096.
    Returns (spikes 0/1, v after reset), both int64 of the shape of the activation.
    Source: PyLifModelBitAcc, lava-nc 0.10.0; the decay truncates towards zero.
    """
    return _fired(activation << profile.threshold_shift, membrane, bias, vth, dv, profile)


def cuba_step(
    activation: Int64,
    state: tuple[Int64, Int64],
    bias: Int64,
    vth: Int64 | int,
    decays: tuple[int, int],
    profile: Profile = LOIHI_LAVA,
) -> tuple[Int64, tuple[Int64, Int64]]:
    """One time step of a LIF population whose synaptic current has a memory; `lif_step` is the case du = 4096.

    state: (u, v) before the step, membrane units.  decays: (du, dv) in 1/4096.  The rest as in `lif_step`.
    Returns (spikes 0/1, (u, v after reset)), int64; a spike leaves u as it is. Source: as `lif_step`.
    """
    (current, membrane), (du, dv) = state, decays
    current = _kept(current, du, profile) + (activation << profile.threshold_shift)
    spikes, membrane = _fired(current, membrane, bias, vth, dv, profile)
    return spikes, (current, membrane)


def _fired(
    current: Int64, membrane: Int64, bias: Int64, vth: Int64 | int, dv: int, profile: Profile
) -> tuple[Int64, Int64]:
    """(spikes, v after reset) of a current in membrane units."""
    membrane = _kept(membrane, dv, profile) + current + bias
    membrane = np.clip(membrane, -profile.state_max, profile.state_max)
    spikes = (membrane > vth << profile.threshold_shift).astype(np.int64)
    return spikes, np.where(spikes == 1, np.int64(0), membrane)


def _kept(state: Int64, decay: int, profile: Profile) -> Int64:
    """trunc0(state * (4096 - decay) / 4096)."""
    kept: Int64 = np.sign(state) * (np.abs(state) * (profile.decay_unit - decay) >> profile.decay_bits)
    return kept
