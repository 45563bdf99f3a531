"""Whether the chip has the neurons that a network was lowered to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from neurodeploy.errors import Finding
from neurodeploy.ir.chip import ChipNetwork, Neurons
from neurodeploy.ir.proof import Bound
from neurodeploy.targets.target import Target

MEMBRANE = "membrane"
INSTEAD: Mapping[str, str] = {
    "product": "token attention (QKFormer's) needs no products; loihi2 has such neurons",
    "hold": "take --neurons stock, or a chip whose neurons can be programmed",
    "max": "take --neurons stock, or a chip whose neurons can be programmed",
}
ELSE = "take a chip that has them, such as loihi2"


def lacking(network: ChipNetwork, target: Target, bounds: Iterable[Bound]) -> Iterator[Finding]:
    """A finding for each kind of neuron that the chip has not, and for each membrane that it has no room for."""
    kinds: dict[str, list[Neurons]] = {}
    for neurons in network.neurons:
        if neurons.kind != "source":
            kinds.setdefault(neurons.kind, []).append(neurons)
    for kind, found in kinds.items():
        key = "programmable" if found[0].custom else kind
        fact = target.fact("neuron", key)
        if fact is None or fact.value is not True:
            said = f"{fact.status}: {fact.source}" if fact else "nothing is known"
            count, need = sum(n.size for n in found), f"neurons of kind {kind}"
            have = f"none on {target.name} ({said}), for {count:,} of {found[0].name}" + _others(found)
            yield Finding("ND-M502", found[0].name, need, have, INSTEAD.get(kind, ELSE))
    yield from _membranes(target, bounds)


def _others(found: list[Neurons]) -> str:
    return f" and {len(found) - 1} more" if len(found) > 1 else ""


def _membranes(target: Target, bounds: Iterable[Bound]) -> Iterator[Finding]:
    """The widest membrane, where the chip's are narrower than it and than the profile's."""
    bits = target.number("neuron", "state_bits")
    if bits is None or bits >= target.arithmetic.state_bits:
        return
    top = (1 << (int(bits) - 1)) - 1
    wide = [bound for bound in bounds if bound.quantity == MEMBRANE and bound.interval.magnitude > top]
    if wide:
        worst = max(wide, key=lambda bound: bound.interval.magnitude)
        have = f"{worst.interval.magnitude:,} in the worst case, {len(wide)} layers beyond"
        mend = "fewer weight_bits, or a chip with wider membranes"
        yield Finding("ND-M503", worst.layer, f"membranes of {bits} bits, at most {top:,}", have, mend, worst.source)
