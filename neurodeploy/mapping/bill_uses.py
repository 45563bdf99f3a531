"""Used and limit of every resource: of a core, of all used cores together, and by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from neurodeploy.ir.chip import ChipNetwork, Cut, Placement, Tiling, Use
from neurodeploy.mapping.bill_figures import worst
from neurodeploy.mapping.tile_inputs import overhead_unknown
from neurodeploy.targets.target import Fact, Target

NAMES = tuple(f.name for f in fields(Use))
UNITS = {"synapse_memory": "byte", "rows": "row", "columns": "column", "active_rows": "row"}
PLACES = {"active_rows": ("adc", "bits"), "rows": ("crossbar", "rows"), "columns": ("crossbar", "columns")}
NOT_SHARED = "active_rows"  # each array's own: no sum over the arrays


@dataclass(frozen=True)
class Resource:
    """One resource.

    used, limit: all used cores together, and one core; limit None: none is known, or there is none.  share: used of
    the limit of all used cores.  fullest: of the core that has most; None where no core is counted.  layer: that takes
    most of it, and its part.  status, source: of the limit; `assumed` where the use itself rests on an
    absent constant, which the source then names.
    """

    name: str
    unit: str
    used: int
    limit: int | None
    share: float | None
    fullest: int | None
    layer: str
    part: float
    status: str
    source: str

    @property
    def fullest_share(self) -> float | None:
        """Used and limit of the fullest core."""
        return None if self.limit is None or self.fullest is None else self.fullest / self.limit

    def as_json(self) -> dict[str, Any]:
        """The resource as plain data."""
        return asdict(self) | {"fullest_share": self.fullest_share}


@dataclass(frozen=True)
class LayerUse:
    """A population on the chip.

    value: layer of the network that it computes, "" for a helper.  tiles: boxes times parts of the fan-in.
    cores: that its tiles would fill alone, by the resource that `binds`.  used: resource -> all its tiles together.
    """

    name: str
    kind: str
    custom: bool
    value: str
    depth: int
    neurons: int
    synapses: int
    tiles: int
    parts: int
    cores: float | None
    binds: str
    used: Mapping[str, int]


def used_by(cut: Cut) -> Use:
    """All tiles of a population together."""
    total = Use()
    for kind in cut.classes:
        total = total + kind.use.times(kind.count)
    return total


def resources_of(tiling: Tiling, placement: Placement | None, target: Target) -> tuple[Resource, ...]:
    """Every resource that something uses or that has a limit."""
    found = [_resource(name, tiling, placement, target) for name in NAMES]
    return tuple(resource for resource in found if resource.used or resource.limit is not None)


def _resource(name: str, tiling: Tiling, placement: Placement | None, target: Target) -> Resource:
    shared, limit = name != NOT_SHARED, target.limit(name)
    by_layer = {key: _of(cut, name) for key, cut in tiling.cuts.items()}
    used = sum(by_layer.values()) if shared else max(by_layer.values(), default=0)
    layer = max(by_layer, key=lambda key: by_layer[key], default="")
    fact = limit_fact(target, name)
    status = "absent" if fact is None or fact.value is None else fact.status
    least = lower_bound(tiling.network, target) if name == "synapse_memory" else ""
    room = None if limit is None or placement is None else _room(name, limit, placement, target)
    return Resource(
        name=name,
        unit=UNITS.get(name, name.split("_", maxsplit=1)[0].removesuffix("s")),
        used=used,
        limit=limit,
        share=used / room if room and shared else None,
        fullest=None if placement is None else max((getattr(use, name) for use, _ in placement.classes), default=0),
        layer=layer if used else "",
        part=by_layer[layer] / used if used else 0.0,
        status=worst((status, "assumed")) if least else status,
        source=("no limit in the target file" if fact is None else fact.source) + least,
    )


def lower_bound(network: ChipNetwork, target: Target) -> str:
    """Words for a count that rests on an absent constant; "" where none does."""
    unknown = overhead_unknown(network, target)
    return "; at least: synapse.overhead_bits is absent, taken as 0" if unknown else ""


def limit_fact(target: Target, name: str) -> Fact | None:
    """The number of the target file that limits a resource; None where this kind of chip has none."""
    return target.fact(*PLACES.get(name, ("core", name)))


def _of(cut: Cut, name: str) -> int:
    if name == NOT_SHARED:
        return max((kind.use.active_rows for kind in cut.classes), default=0)
    return sum(getattr(kind.use, name) * kind.count for kind in cut.classes)


def _room(name: str, limit: int, placement: Placement, target: Target) -> int:
    """What all used cores have of a resource; of cores that differ, what all cores of the used chips have."""
    each = target.limits(name)
    return sum(each) * placement.chips if each else limit * placement.used_cores


def layers_of(network: ChipNetwork, tiling: Tiling | None, target: Target) -> tuple[LayerUse, ...]:
    """The populations in order of depth."""
    found = []
    for neurons in sorted(network.neurons, key=lambda n: n.depth):
        cut = tiling.cuts.get(neurons.name) if tiling else None
        used = {name: _of(cut, name) for name in NAMES} if cut else {}
        cores, binds = _cores(used, target)
        found.append(
            LayerUse(
                name=neurons.name,
                kind=neurons.kind,
                custom=neurons.custom,
                value=neurons.value,
                depth=neurons.depth,
                neurons=neurons.size,
                synapses=sum(synapses.count for synapses in network.inputs(neurons.name)),
                tiles=cut.count if cut else 0,
                parts=cut.parts if cut else 1,
                cores=cores,
                binds=binds,
                used={name: count for name, count in used.items() if count},
            )
        )
    return tuple(found)


def _cores(used: Mapping[str, int], target: Target) -> tuple[float | None, str]:
    """The cores that a use fills by its scarcest resource, and which that is."""
    limits = {name: target.limit(name) for name in used if name != NOT_SHARED}
    fills = {name: used[name] / limit for name, limit in limits.items() if limit}
    binds = max(fills, key=lambda name: fills[name], default="")
    return (fills[binds], binds) if binds else (None, "")
