"""What a .net file does not say, and how its layers are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from neurodeploy.errors import Finding, UsageError
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.types import Interval
from neurodeploy.netx.layers import Layer

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

    def check(self) -> None:
        """Raise UsageError with everything that cannot be."""
        low, high = self.input_range or (0, 1)
        shape = self.input_shape
        fits = shape is None or (len(shape) in (1, 3) and min(shape) > 0)
        rules = (
            ("steps", 1 <= self.steps <= MAX_STEPS, f"1..{MAX_STEPS} time steps", self.steps),
            ("semantics", self.semantics in SEMANTICS, " or ".join(SEMANTICS), self.semantics),
            ("input_message_bits", 0 <= self.input_message_bits <= 8, "0..8", self.input_message_bits),
            ("input_shape", fits, "(C, H, W) or (features,)", shape),
            ("input_range", -inf < low <= 0 <= high < inf and low < high, "a range with zero in it", self.input_range),
        )
        wrong = [(name, need, str(have)) for name, good, need, have in rules if not good]
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
