"""What a user can choose about the quantization."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from neurodeploy.errors import Finding, UsageError
from neurodeploy.numerics import LOIHI_LAVA, Profile

WeightBits = int | Mapping[str, int]
FEWEST_BITS, MOST_BITS = 2, 8


@dataclass(frozen=True)
class QuantizeOptions:
    """Widths of the quantized network.

    weight_bits: 2 to 8 for all layers, or shell patterns of layer names -> bits, the first match counts, 8 where none
    matches.  profile: the target's arithmetic.
    Raises UsageError for bits outside 2..8 or a pattern that is no text.
    """

    weight_bits: WeightBits = MOST_BITS
    profile: Profile = LOIHI_LAVA

    def __post_init__(self) -> None:
        given = self.weight_bits.items() if isinstance(self.weight_bits, Mapping) else [("*", self.weight_bits)]
        wrong = [(name, bits) for name, bits in given if not _legal(bits)]
        if wrong:
            need, mend = f"weight_bits from {FEWEST_BITS} to {MOST_BITS}", "choose a width in this range"
            raise UsageError(Finding("ND-Q001", str(name), need, repr(bits), mend) for name, bits in wrong)

    def bits(self, layer: str) -> int:
        """The weight bits of a layer, sign included."""
        if not isinstance(self.weight_bits, Mapping):
            return self.weight_bits
        return next((b for pattern, b in self.weight_bits.items() if fnmatchcase(layer, pattern)), MOST_BITS)

    def check_patterns(self, layers: Iterable[str]) -> None:
        """Raise UsageError for every pattern that matches no layer with weights."""
        if not isinstance(self.weight_bits, Mapping):
            return
        known = list(layers)
        idle = [p for p in self.weight_bits if not any(fnmatchcase(layer, p) for layer in known)]
        if idle:
            have, mend = f"layers: {', '.join(known)}", "name one of these layers"
            raise UsageError(Finding("ND-Q002", p, "a pattern that matches a layer", have, mend) for p in idle)


def _legal(bits: object) -> bool:
    return isinstance(bits, int) and not isinstance(bits, bool) and FEWEST_BITS <= bits <= MOST_BITS
