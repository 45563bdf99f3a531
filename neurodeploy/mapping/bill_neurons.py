"""Whether the membranes of a chip hold the proven ones, where they are narrower than the profile's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from neurodeploy.errors import Finding
from neurodeploy.ir.proof import Bound
from neurodeploy.mapping.tile_features import BITS
from neurodeploy.targets.target import Target

MEMBRANE = "membrane"


def narrow_membranes(target: Target, bounds: Iterable[Bound]) -> Iterator[Finding]:
    """One finding, of the layer with the widest membrane, where some do not fit the chip's (ND-M502)."""
    bits = target.number("neuron", "state_bits")
    if bits is None or bits >= target.arithmetic.state_bits:
        return
    top = (1 << (int(bits) - 1)) - 1
    wide = [bound for bound in bounds if bound.quantity == MEMBRANE and bound.interval.magnitude > top]
    if wide:
        worst = max(wide, key=lambda bound: bound.interval.magnitude)
        have = f"{worst.interval.magnitude:,} in the worst case, {len(wide)} layers beyond"
        mend = f"{BITS}, or take a chip with wider membranes"
        yield Finding("ND-M502", worst.layer, f"membranes of {bits} bits, at most {top:,}", have, mend, worst.source)
