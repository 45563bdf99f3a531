"""Tiles to cores, and cores to the mesh, so that nothing overflows and spikes travel little; or what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

import networkx as nx
import numpy as np

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.chip import Placement, Tile, Tiling, Use
from neurodeploy.ir.types import BINARY, signed
from neurodeploy.mapping.messages import messages_of
from neurodeploy.mapping.place_mesh import Mesh, arranged, cut_into_chips
from neurodeploy.mapping.place_pack import joined, pack, pack_classes, use_of, uses_of
from neurodeploy.mapping.place_room import RESOURCES, Room, room_of
from neurodeploy.mapping.place_share import MOST_SHARED, exchanged
from neurodeploy.mapping.place_traffic import MOST_EDGES, Rates, Traffic, silence, tiles_of, traffic_of
from neurodeploy.numerics import Int64
from neurodeploy.targets.target import Target

FEWER = (
    "--neurons custom with --attention stream needs far fewer neurons, fewer weight bits (compile --weight-bits N, or "
    "auto with --budget) fewer bytes of synapses; or take a smaller model, or another target"
)
MOST_TILES = 32_000  # beyond, tiles are counted by classes and get no coordinates: a minute would be for little


def place(
    tiling: Tiling,
    target: Target,
    rates: Rates | None = None,
    traffic: Callable[[], Traffic | None] | None = None,
) -> Placement:
    """The tiles of a network in cores of one chip or of several; always the same for the same input.

    rates: population -> spikes a neuron and step, a number or an array of its shape; without, one spike a step.
    traffic: gives `traffic_of(tiling, rates)`, where the caller needs it as well.
    Raises DoesNotFitError with everything that does not fit: ND-M301 no chip; ND-M302 a tile beyond a core's limit;
    ND-M303 payloads that the chip's spikes do not carry; ND-M304 more chips than there are; ND-M305 a core whose spikes
    go to too many cores; ND-M306 cores that differ, and none has room.
    """
    room = room_of(target)
    if room is None:
        raise DoesNotFitError(
            _finding("ND-M301", "", "a chip with cores or arrays", target.title, "neurodeploy targets list")
        )
    findings = [*_too_large(tiling, room), *_payloads(tiling, target)]
    if findings or tiling.tiles > MOST_TILES or not room.known:
        return _counted(tiling, room, findings)
    return _placed(tiling, room, traffic or partial(traffic_of, tiling, rates))


def _counted(tiling: Tiling, room: Room, findings: list[Finding]) -> Placement:
    """Cores and chips by classes of tiles. Raises DoesNotFitError with these findings and that of the chips."""
    classes = pack_classes([c for cut in tiling.cuts.values() for c in cut.classes], room)
    chips = _chips(classes, room) if room.known else 0
    findings += _too_many(chips, sum(count for _, count in classes), room)
    if findings:
        raise DoesNotFitError(findings)
    unknown = "nobody published how many cores the chip has: cores are counted and have no place"
    many = f"{tiling.tiles} tiles, more than {MOST_TILES}: cores and chips are counted by classes of equal tiles"
    return Placement(tiling, (), (), (), classes, chips, many if room.known else unknown)


def _chips(classes: tuple[tuple[Use, int], ...], room: Room) -> int:
    """The chips that so many cores need, by cores and by the totals of a chip."""
    uses, counts = uses_of(use for use, _ in classes), np.array([count for _, count in classes], np.int64)
    shares = -(-(uses * counts[:, None]).sum(axis=0) // room.totals)
    return max(-(-int(counts.sum()) // room.cores), int(shares.max(initial=1)))


def _placed(tiling: Tiling, room: Room, traffic_known: Callable[[], Traffic | None]) -> Placement:
    tiles, known = tiles_of(tiling), traffic_known()
    traffic = known or silence()
    needs = uses_of(_uses(tiling, tiles))
    core = pack(needs, room, traffic)
    uses = joined(needs, core, int(core.max(initial=-1)) + 1)
    between, order = traffic.between(core, len(uses)), _order(tiling, tiles, core, len(uses))
    chips = int(cut_into_chips(order, uses, between, room).max(initial=0)) + 1
    slot = _matched(uses, max(chips, room.chips or chips), room)
    findings = [*_too_many(chips, len(uses), room), *_destinations(tiling, core, traffic, room)]
    findings += _unmatched(tiles, core, slot)
    if findings:
        raise DoesNotFitError(findings)
    slot = arranged(order, uses, between, room) if room.alike else Mesh(slot, uses, between, room).improve()
    if len(uses) < len(tiles) <= MOST_SHARED:
        core, uses, slot = _shared(core, needs, slot, traffic, room)
    note = "" if known else f"more than {MOST_EDGES} pairs of tiles that exchange spikes: cores lie in order of depth"
    return replace(_result(tiling, tiles, core, slot, uses, room), note=note)


def _shared(core: Int64, needs: Int64, slot: Int64, traffic: Traffic, room: Room) -> tuple[Int64, Int64, Int64]:
    """Core of each tile, use and slot of each core, once tiles are exchanged; the cores move once more after it."""
    held, core = np.unique(exchanged(core, slot, needs, traffic, room), return_inverse=True)
    core = core.reshape(-1)
    uses = joined(needs, core, len(held))
    return core, uses, Mesh(slot[held], uses, traffic.between(core, len(held)), room).improve()


def _result(tiling: Tiling, tiles: list[Tile], core: Int64, slot: Int64, uses: Int64, room: Room) -> Placement:
    """The cores in the order of their slots; chips that swaps have left empty are not counted."""
    chips, chip = np.unique(slot // room.cores, return_inverse=True)
    slot = chip.reshape(-1) * room.cores + slot % room.cores
    held: list[list[Tile]] = [[] for _ in slot]
    for tile, at in zip(tiles, core, strict=True):
        held[at].append(tile)
    order = np.argsort(slot)
    distinct, counts = np.unique(uses, axis=0, return_counts=True)
    return Placement(
        tiling=tiling,
        cores=tuple(tuple(held[i]) for i in order),
        at=tuple(room.at(int(slot[i])) for i in order),
        slots=tuple(int(slot[i]) % room.cores for i in order),
        classes=tuple((use_of(row), int(count)) for row, count in zip(distinct, counts, strict=True)),
        chips=len(chips),
    )


def _uses(tiling: Tiling, tiles: Iterable[Tile]) -> Iterator[Use]:
    """What each tile uses; where all tiles of a population use the same, one is asked."""
    alike = {name: cut.classes[0].use for name, cut in tiling.cuts.items() if len(cut.classes) == 1}
    return (alike.get(tile.population) or tiling.cuts[tile.population].use(tile) for tile in tiles)


def _order(tiling: Tiling, tiles: list[Tile], core: Int64, cores: int) -> Int64:
    """The cores by the depth of their first tile, as spikes pass through them."""
    depth = np.array([tiling.network.by_name[tile.population].depth for tile in tiles], np.int64)
    first = np.full(cores, len(tiles), np.int64)
    np.minimum.at(first, core, np.argsort(np.argsort(depth, kind="stable"), kind="stable"))
    return np.argsort(first, kind="stable")


def _matched(uses: Int64, chips: int, room: Room) -> Int64:
    """A slot for each core where cores differ, -1 for none: a largest matching of a bipartite graph."""
    if room.alike:
        return np.arange(len(uses))
    graph = nx.Graph()
    graph.add_nodes_from(range(len(uses)))
    for core, use in enumerate(uses):
        fits = np.flatnonzero((np.tile(room.limits, (chips, 1)) >= use).all(axis=1))
        graph.add_edges_from((core, len(uses) + int(slot)) for slot in fits)
    pairs = nx.bipartite.hopcroft_karp_matching(graph, range(len(uses)))
    return np.array([pairs.get(core, len(uses) - 1) - len(uses) for core in range(len(uses))], np.int64)


def _too_large(tiling: Tiling, room: Room) -> Iterator[Finding]:
    """Tiles that no core holds, the worst of each population and resource."""
    for name, cut in tiling.cuts.items():
        uses = uses_of(c.use for c in cut.classes)
        for resource, most, limit in zip(RESOURCES, uses.max(axis=0, initial=0), room.largest, strict=True):
            if most > limit:
                need, have = f"at most {limit} {resource} in a core", f"a tile with {most}"
                yield _finding("ND-M302", name, need, have, "cut the population into smaller tiles")


def _payloads(tiling: Tiling, target: Target) -> Iterator[Finding]:
    """Populations that send more than the chip's spikes carry."""
    fits = signed(target.graded) if target.graded else BINARY
    for neurons in tiling.network.neurons:
        if not neurons.interval.within(fits):
            need, have = f"payloads in {fits}, which a spike of {target.name} carries", str(neurons.interval)
            mend = (
                "--residual spikes where spikes are counted, or a target with wider payloads (neurodeploy targets list)"
            )
            yield _finding("ND-M303", neurons.name, need, have, mend)


def _too_many(chips: int, cores: int, room: Room) -> list[Finding]:
    if room.chips is None or chips <= room.chips:
        return []
    need = f"chips of {room.cores} cores, at most {room.chips}, as the largest system has"
    return [_finding("ND-M304", "", need, f"{chips} chips, {cores} cores", FEWER)]


def _destinations(tiling: Tiling, core: Int64, traffic: Traffic, room: Room) -> Iterator[Finding]:
    """Cores whose spikes go to more cores than the chip lets them.

    Boxes around axons meet at least the cores that listen; where they meet too many, every axon is looked at.
    """
    if room.destinations is None:
        return
    cores = int(core.max(initial=-1)) + 1
    most = int(np.bincount(traffic.directed(core, cores).source).max(initial=0))
    found = messages_of(tiling, core, cores) if most > room.destinations else None
    if found is not None:
        most = int(np.bincount(found.source[found.source != found.target]).max(initial=0))
    if most > room.destinations:
        need = f"at most {room.destinations} cores that one core's spikes go to"
        yield _finding("ND-M305", "", need, f"a core whose spikes go to {most}", "take a smaller model")


def _unmatched(tiles: list[Tile], core: Int64, slot: Int64) -> Iterator[Finding]:
    for tile in np.flatnonzero(slot[core] < 0):
        need = "a core of its own with room for every tile"
        yield _finding("ND-M306", tiles[tile].population, need, f"none for {tiles[tile].box}", "take a smaller model")


def _finding(code: str, layer: str, need: str, have: str, mend: str) -> Finding:
    return Finding(code, layer, need, have, mend or "neurodeploy targets list")
