"""What a .net file does not say, and how its layers are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any, Literal

import numpy as np

from neurodeploy.errors import Finding, UsageError
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.types import Interval
from neurodeploy.netx.layers import Layer
from neurodeploy.numerics import plain

Semantics = Literal["netx", "slayer"]
SEMANTICS = ("netx", "slayer")
MAX_STEPS = 4096
USAGE = "ND-L006"


@dataclass(frozen=True)
class Reading:
    """What a .net file does not say.

    steps: T, time steps of a sample.  semantics: "netx", what lava-dl's netx executes, or "slayer", what the file says.
    input_shape: [C, H, W] or [features], where the file has no input layer.  events: frames, one a step (True), or an
    image that stays (False).  input_message_bits: as of netx.Network, 0 for binary spikes.  input_range: the smallest
    and the largest value that comes in; None for as much as 8 bits hold.  code: the whole of it, of a file of ours.
    """

    steps: int
    semantics: Semantics = "netx"
    input_shape: tuple[int, ...] | None = None
    events: bool = True
    input_message_bits: int = 0
    input_range: tuple[float, float] | None = None
    code: PixelCode | None = None

    def __post_init__(self) -> None:
        for own in fields(self):
            object.__setattr__(self, own.name, _plain(getattr(self, own.name)))

    @classmethod
    def of(cls, steps: int, choices: Mapping[str, Any]) -> Reading:
        """A reading by the names of its choices, checked. Raises UsageError with everything that cannot be."""
        known = [own.name for own in fields(cls)]
        if unknown := [name for name in choices if name not in known]:
            need, mend = f"one of {', '.join(known)}", "leave it out"
            raise UsageError(Finding(USAGE, name, need, "an unknown choice", mend) for name in unknown)
        reading = cls(steps, **choices)
        reading.check()
        return reading

    def check(self) -> None:
        """Raise UsageError with everything that cannot be."""
        shape, span, bits = (getattr(self, name) for name in ("input_shape", "input_range", "input_message_bits"))
        sized = shape is None or (isinstance(shape, tuple) and len(shape) in (1, 3) and all(map(_size, shape)))
        rules = (
            ("steps", _size(self.steps) and self.steps <= MAX_STEPS, f"1..{MAX_STEPS} time steps"),
            ("semantics", self.semantics in SEMANTICS, " or ".join(SEMANTICS)),
            ("events", isinstance(self.events, bool), "True or False"),
            ("input_message_bits", _whole(bits) and 0 <= bits <= 8, "0..8"),
            ("input_shape", sized, "(C, H, W) or (features,)"),
            ("input_range", span is None or _spans(span), "a range (low, high) with zero in it"),
            ("code", self.code is None or isinstance(self.code, PixelCode), "a PixelCode"),
        )
        wrong = [(name, need, str(getattr(self, name))) for name, good, need in rules if not good]
        if wrong:
            raise UsageError(Finding(USAGE, name, need, have, "correct the call") for name, need, have in wrong)

    def coded(self, gain: float, graded: bool) -> PixelCode:
        """The code of what comes in.  gain: codes a unit.  graded: into the neurons of an input layer."""
        if self.code is not None:
            return self.code
        bits, span = self.input_message_bits, Interval(-128, 127)
        if self.input_range is not None:
            low, high = (round(min(max(value * gain, -128), 255)) for value in self.input_range)
            if low == high:
                need, have = "a range of more than one code", f"{self.input_range}, codes of {1 / gain:g} each"
                raise UsageError(Finding(USAGE, "input_range", need, have, "give what comes in at least and at most"))
            span = Interval(low, min(high, 255 if low == 0 else 127))
        elif not graded:
            span = Interval(0, (1 << bits) - 1 if bits else 1)
        return PixelCode(1 / gain, span, self.events)


def _plain(value: object) -> object:
    """Sequences and arrays as tuples, numbers of NumPy as numbers."""
    listed = value.tolist() if isinstance(value, np.ndarray) else value
    return tuple(map(plain, listed)) if isinstance(listed, list | tuple) else plain(listed)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _size(value: object) -> bool:
    return _whole(value) and value > 0  # type: ignore[operator]


def _spans(span: object) -> bool:
    if not (isinstance(span, tuple) and len(span) == 2 and all(isinstance(end, int | float) for end in span)):
        return False
    low, high = map(float, span)
    return -inf < low <= 0 <= high < inf and low < high


@dataclass(frozen=True)
class Names:
    """How the layers of a file are called: path -> name of its synapses, and of its neurons."""

    synapse: Mapping[str, str] = field(default_factory=dict)
    neuron: Mapping[str, str] = field(default_factory=dict)

    def of(self, layer: Layer) -> tuple[str, str]:
        """The two names of a layer; layer.3.synapse and layer.3.neuron where it has none."""
        plain = layer.path.strip("/").replace("/", ".")
        synapse, neuron = self.synapse.get(layer.path), self.neuron.get(layer.path)
        return synapse or self.free(f"{plain}.synapse"), neuron or self.free(f"{plain}.neuron")

    def free(self, name: str) -> str:
        """The name, or with underscores behind it the first that no layer was given."""
        while name in (*self.synapse.values(), *self.neuron.values()):
            name += "_"
        return name
