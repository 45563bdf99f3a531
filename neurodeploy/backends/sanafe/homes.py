"""Where each neuron lives in SANA-FE's terms: the tile (router) of its mesh, the core of that tile, and the unit.

SANA-FE numbers the tiles column by column, x * height + y.  A soma or dendrite model has room for 1024 neurons, so a
core that holds more gets several units of the same kind, at the same cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.chip import Placement
from neurodeploy.ir.mapped import MappedGraph
from neurodeploy.numerics import Int64
from neurodeploy.targets.target import Target

UNIT = 1024  # neurons of one soma or dendrite unit: loihi_max_compartments in SANA-FE 2.2
HOST = "host"  # the core that the input comes from, one more at router (0, 0)


@dataclass(frozen=True)
class Mesh:
    """Routers (width, height) of all chips side by side, the cores of a router, and the chips."""

    width: int
    height: int
    cores: int
    chips: int = 1

    @property
    def tiles(self) -> int:
        """Routers of the mesh."""
        return self.width * self.height


@dataclass(frozen=True)
class Homes:
    """mesh; at: population -> int64 [size, 3], the tile, core and unit of each neuron.

    units: most units that one core needs.  inputs: neurons of the source, which the host core holds.
    """

    mesh: Mesh
    at: Mapping[str, Int64]
    units: int
    inputs: int


def require_mesh(target: Target) -> tuple[tuple[int, int], int]:
    """The routers (x, y) of a chip and the cores of a router. Raises DoesNotFitError (ND-X010) without a mesh."""
    if target.kind != "cores" or target.mesh is None or target.cores_a_router is None:
        mend = "export for loihi2, or another target with a mesh"
        finding = Finding("ND-X010", "", "a mesh of digital cores", f"{target.title} ({target.kind})", mend)
        raise DoesNotFitError(finding)
    return target.mesh, target.cores_a_router


def homes_of(graph: MappedGraph, placement: Placement | None, target: Target) -> Homes:
    """The home of every neuron. Raises DoesNotFitError (ND-X012) for a placement without coordinates."""
    routers, cores = require_mesh(target)
    if placement is None or not placement.at:
        have = placement.note if placement else "no placement"
        raise DoesNotFitError(Finding("ND-X012", "", "coordinates of all cores", have, "take a smaller model"))
    chips = 1 + max(chip for chip, _, _ in placement.at)
    mesh = Mesh(routers[0] * chips, routers[1], cores, chips)
    at = {p.name: np.full((p.size, 3), -1, np.int64) for p in graph.populations}
    units = max((_fill(at, placement, i, mesh, routers[0]) for i in range(len(placement.cores))), default=1)
    sources = [p for p in graph.populations if p.kind == "source"]
    for source in sources:
        at[source.name] = np.stack([np.zeros(source.size), np.full(source.size, cores), np.arange(source.size) // UNIT])
        at[source.name] = at[source.name].T.astype(np.int64)
    _require_all(at)
    return Homes(mesh, at, units, sum(p.size for p in sources))


def _fill(at: dict[str, Int64], placement: Placement, core: int, mesh: Mesh, width: int) -> int:
    """Enter the neurons of one core; the units that they need."""
    (chip, x, y), slot, held = placement.at[core], placement.slots[core], 0
    tile = (chip * width + x) * mesh.height + y
    for name, index in _boxes(placement, core):
        new = index[at[name][index, 0] < 0]  # a part of a fan-in names the same neurons again
        at[name][new] = np.stack(
            [np.full(len(new), tile), np.full(len(new), slot % mesh.cores), (held + np.arange(len(new))) // UNIT], 1
        )
        held += len(new)
    return -(-held // UNIT)


def _boxes(placement: Placement, core: int) -> Iterator[tuple[str, Int64]]:
    """(population, flat neuron indices) of each tile of a core; the source is the host's."""
    by_name = placement.tiling.network.by_name
    for tile in placement.cores[core]:
        neurons = by_name[tile.population]
        if neurons.kind != "source":
            window = tuple(slice(a, b) for a, b in zip(tile.box.start, tile.box.stop, strict=True))
            yield tile.population, np.arange(neurons.size).reshape(neurons.shape)[window].reshape(-1)


def _require_all(at: Mapping[str, Int64]) -> None:
    """Raise DoesNotFitError (ND-X011) for neurons that no core holds: another lowering was placed than is exported."""
    mend = "place the same lowering of the same network"
    findings = [
        Finding("ND-X011", name, "a core for every neuron", f"none for {count} neurons", mend)
        for name, found in at.items()
        if (count := int((found[:, 0] < 0).sum()))
    ]
    if findings:
        raise DoesNotFitError(findings)
