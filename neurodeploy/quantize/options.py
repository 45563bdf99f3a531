"""What a user can choose about the quantization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any, Literal

from neurodeploy.errors import Finding, UsageError
from neurodeploy.numerics import LOIHI_LAVA, Profile, plain

WeightBits = int | Mapping[str, int] | Literal["auto"]
Rounding = Literal["auto", "nearest", "compensated"]
ScaleBy = Literal["auto", "weight", "spikes"]
FEWEST_BITS, MOST_BITS = 2, 8
MOST_GROUPS = 4
ROUNDINGS = ("auto", "nearest", "compensated")
SCALES = ("auto", "weight", "spikes")


@dataclass(frozen=True)
class QuantizeOptions:
    """Widths of the quantized network, and how its weights are rounded.

    weight_bits: 2 to 8 for all layers; or shell patterns of layer names -> bits, the first match counts, 8 where none
    matches; or "auto": the fewest bits, layer by layer, that keep `budget` or `most_drop`.
    profile: the target's arithmetic.
    rounding: "nearest"; "compensated": a layer's remaining weights absorb each rounding error on calibration samples;
    "auto": nearest where all layers have 8 bits, else compensated.
    scale: the threshold is chosen by the error of the "weight"s, or by that of the membranes and "spikes" on
    calibration samples; "auto" as for rounding.
    bias_correction: the bias makes good the mean error of the currents on calibration samples; "auto" as for rounding.
    first_bits, last_bits: of the layers that read the input, and of the read-out; None: as weight_bits says.
    threshold_groups: groups of channels, 1 to 4, that a population may be split into, each with a threshold of its own.
    budget: bytes of synapse weights that "auto" may take.  most_drop: calibration samples, in percent, whose class may
    differ from the float network's; no accuracy on them drops by more.
    Raises UsageError with all that is wrong.
    """

    weight_bits: WeightBits = MOST_BITS
    profile: Profile = LOIHI_LAVA
    rounding: Rounding = "auto"
    scale: ScaleBy = "auto"
    bias_correction: bool | Literal["auto"] = "auto"
    first_bits: int | None = None
    last_bits: int | None = None
    threshold_groups: int = 1
    budget: int | None = None
    most_drop: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        if isinstance(self.weight_bits, Mapping):
            object.__setattr__(self, "weight_bits", {name: plain(bits) for name, bits in self.weight_bits.items()})
        findings = [*self._wrong_bits(), *self._wrong_choices(), *self._wrong_bounds()]
        if findings:
            raise UsageError(findings)

    def _wrong_bits(self) -> Iterator[Finding]:
        need, mend = f"weight_bits from {FEWEST_BITS} to {MOST_BITS}", "choose a width in this range"
        for name, bits in self._patterns():
            if not isinstance(name, str):
                yield Finding("ND-Q001", repr(name), "patterns of layer names", type(name).__name__, "name the layers")
            elif not _legal(bits):
                have = f"{bits!r}" if bits != "auto" else '"auto" beside patterns'
                yield Finding("ND-Q001", str(name), need, have, mend)
        for name in ("first_bits", "last_bits"):
            bits = getattr(self, name)
            if bits is not None and not _legal(bits):
                yield Finding("ND-Q001", name, need.replace("weight_bits", name), repr(bits), mend)

    def _wrong_choices(self) -> Iterator[Finding]:
        known: dict[str, tuple[object, ...]] = {
            "rounding": ROUNDINGS,
            "scale": SCALES,
            "bias_correction": ("auto", True, False),
            "threshold_groups": tuple(range(1, MOST_GROUPS + 1)),
        }
        for name, legal in known.items():
            given = getattr(self, name)
            if not any(given is value or (given == value and type(given) is type(value)) for value in legal):
                need = f"{name}: one of {', '.join(map(str, legal))}"
                yield Finding("ND-Q030", name, need, repr(given), "leave it out for what is usual")

    def _wrong_bounds(self) -> Iterator[Finding]:
        auto, given = self.weight_bits == "auto", (self.budget is not None) + (self.most_drop is not None)
        if auto != (given == 1):
            need = "one of budget and most_drop with weight_bits 'auto', and none of them without"
            have = f"weight_bits {self.weight_bits!r}, budget {self.budget}, most_drop {self.most_drop}"
            yield Finding("ND-Q031", "weight_bits", need, have, "say what auto has to keep, or give the bits")
        if self.budget is not None and not (_whole(self.budget) and self.budget > 0):
            yield Finding("ND-Q032", "budget", "bytes, 1 or more", repr(self.budget), "give the bytes of all weights")
        if self.most_drop is not None and not _percent(self.most_drop):
            need, mend = "a percentage from 0 to below 100", "for example 0.5"
            yield Finding("ND-Q032", "most_drop", need, repr(self.most_drop), mend)

    def _patterns(self) -> Iterable[tuple[object, object]]:
        if isinstance(self.weight_bits, Mapping):
            return self.weight_bits.items()
        return () if self.weight_bits == "auto" else [("*", self.weight_bits)]

    def bits(self, layer: str) -> int:
        """The weight bits of a layer, sign included; before `auto` has chosen any, the widest."""
        if isinstance(self.weight_bits, Mapping):
            return next((b for pattern, b in self.weight_bits.items() if fnmatchcase(layer, pattern)), MOST_BITS)
        return MOST_BITS if self.weight_bits == "auto" else self.weight_bits

    def check_patterns(self, layers: Iterable[str]) -> None:
        """Raise UsageError for every pattern that matches no layer with weights."""
        if not isinstance(self.weight_bits, Mapping):
            return
        known = list(layers)
        first = {next((p for p in self.weight_bits if fnmatchcase(layer, p)), None) for layer in known}
        idle = [p for p in self.weight_bits if p not in first and p != "*"]  # the last is what is left, if anything
        if idle:
            need, have = "a pattern that matches a layer, the first to do so", f"layers: {', '.join(known)}"
            mend = "name one of these layers, before a pattern that has it, too"
            raise UsageError(Finding("ND-Q002", p, need, have, mend) for p in idle)

    def settled(self, layers: Iterable[str]) -> QuantizeOptions:
        """The same with every "auto" of the rounding decided: today's roundings where all layers have 8 bits."""
        return self.decided(any(self.bits(layer) < MOST_BITS for layer in layers))

    def decided(self, few: bool) -> QuantizeOptions:
        """The same with every "auto" of the rounding as for few bits, or as for 8."""
        rounding: Rounding = "compensated" if few else "nearest"
        scale: ScaleBy = "spikes" if few else "weight"
        return replace(
            self,
            rounding=rounding if self.rounding == "auto" else self.rounding,
            scale=scale if self.scale == "auto" else self.scale,
            bias_correction=few if self.bias_correction == "auto" else self.bias_correction,
        )

    @property
    def needs_samples(self) -> bool:
        """Whether calibration samples go through the network while it is quantized; of settled options."""
        return self.rounding == "compensated" or self.scale == "spikes" or self.bias_correction is True

    def with_bits(self, bits: Mapping[str, int]) -> QuantizeOptions:
        """The same with the bits of every layer by name, and nothing left to choose."""
        exact = {name.replace("[", "[[]"): width for name, width in bits.items()}
        return replace(self, weight_bits=exact, first_bits=None, last_bits=None, budget=None, most_drop=None)


def options_of(weight_bits: WeightBits, profile: Profile, given: Mapping[str, Any]) -> QuantizeOptions:
    """The options by name. Raises UsageError for unknown names, and for what is wrong with the others."""
    require_known(given)
    return QuantizeOptions(weight_bits, profile, **given)


def require_known(given: Iterable[str], others: Iterable[str] = ()) -> None:
    """Raise UsageError for every name that is none of the options'; others: names that the call takes beside them."""
    own = (field.name for field in fields(QuantizeOptions) if field.name not in ("weight_bits", "profile"))
    known = [*others, *own]
    unknown = [name for name in given if name not in known]
    if unknown:
        need = f"one of {', '.join(known)}"
        raise UsageError(Finding("ND-Q033", name, need, "an unknown option", _nearest(name, known)) for name in unknown)


def _nearest(name: str, known: list[str]) -> str:
    """What to do about an unknown name."""
    near = get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else "leave it out"


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _legal(bits: object) -> bool:
    return isinstance(bits, int) and not isinstance(bits, bool) and FEWEST_BITS <= bits <= MOST_BITS


def _percent(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and isfinite(value) and 0 <= value < 100  # type: ignore[operator, arg-type]
