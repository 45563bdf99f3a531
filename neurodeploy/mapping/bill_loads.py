"""What a step asks of each core and link: messages, synaptic events and neurons that fire.

A message is a spike or payload on its way to one core. It goes along its row of routers first and then along the column
(the order in which Loihi's mesh routes: Davies et al. 2018); chips form the board of `place_room.Room.routers_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import Cut, Placement
from neurodeploy.mapping.bill_activity import BOUND, MEASURED, Activity, Rates, arriving, events
from neurodeploy.mapping.bill_figures import ESTIMATED
from neurodeploy.mapping.messages import box_sizes, first_tiles, messages_of
from neurodeploy.mapping.place_room import Room
from neurodeploy.mapping.place_traffic import UNIT, Traffic, traffic_of
from neurodeploy.numerics import Int64

ONCE = "once a core that listens"
ESTIMATE = "estimated by boxes around the axons, once a tile that listens: too many axons to look at each"


@dataclass(frozen=True)
class Links:
    """The way of the messages of a step, all routers together; those of the host are not in it.

    received, sent: of each core, float64 [cores].  messages: between cores, and from a core to itself.
    hops_x, hops_y: over borders of chips as well.  crossings: of borders.  busiest: messages over the busiest link
    within a chip, and over the busiest one between two chips.  places: of these two, in words.
    host: messages from the source, to each core that listens; None: not counted.  how: how they were counted.
    least: what it rests on at
    best, see `bill_figures.BASES`.
    """

    received: Rates
    sent: Rates
    messages: float
    hops_x: float
    hops_y: float
    crossings: float
    busiest: float
    busiest_crossing: float
    place: str = ""
    crossing_place: str = ""
    host: float | None = None
    how: str = ""
    least: str = MEASURED


@dataclass(frozen=True)
class Cores:
    """A step of each core, float64 [cores]: neurons, those that fire, synaptic events."""

    neurons: Rates
    fired: Rates
    events: Rates


@dataclass(frozen=True)
class Loads:
    """A step of the whole network; of each core and link where cores have coordinates.

    neurons, fired, events: of all tiles together.  least: what the neurons that fire rest on at best.
    """

    neurons: int
    fired: float
    events: float
    cores: Cores | None = None
    links: Links | None = None
    least: str = MEASURED


def loads(
    placement: Placement, active: Activity, room: Room, traffic: Callable[[], Traffic | None] | None = None
) -> Loads:
    """The loads of a placement at these rates. traffic: gives `traffic_of` them, where it is known already."""
    network, cuts = placement.tiling.network, placement.tiling.cuts
    least = BOUND if any(_parts_have_neurons(cut) for cut in cuts.values()) else MEASURED
    neurons = sum(_parted(network.by_name[name].size, cut) for name, cut in cuts.items())
    fired = sum(active.messages(name) for name in cuts) + neurons - sum(network.by_name[name].size for name in cuts)
    total = sum(events(s, active.rates[s.source]) for s in network.synapses)
    if not placement.cores:
        return Loads(neurons, fired, total, least=least)
    core, count = _core_of_tiles(placement), len(placement.cores)
    sizes, firing, came = (np.concatenate(parts) for parts in zip(*_tiles(placement, active), strict=True))
    cores = Cores(*(_sums(core, values, count) for values in (sizes, firing, came)))
    return Loads(neurons, fired, total, cores, _messages(placement, active, room, core, traffic), least)


def _messages(
    placement: Placement, active: Activity, room: Room, core: Int64, traffic: Callable[[], Traffic | None] | None
) -> Links | None:
    """By every axon; where these are too many by the traffic of tiles, and None where that is too much as well."""
    count = len(placement.cores)
    found = messages_of(placement.tiling, core, count, active.rates)
    if found is not None:
        links = _links(placement, room, found.source, found.target, found.sent)
        how = f"{ONCE}; {found.sums:,.0f} sums of parts of a fan-in in it, at most" if found.sums else ONCE
        return replace(links, host=found.host, how=how, least=BOUND if found.sums else MEASURED)
    edges = traffic() if traffic else traffic_of(placement.tiling, active.rates)
    if edges is None:
        return None
    keys, inverse = np.unique(core[edges.source] * count + core[edges.target], return_inverse=True)
    sent = _sums(inverse, edges.spikes / UNIT, len(keys))
    return replace(_links(placement, room, keys // count, keys % count, sent), how=ESTIMATE, least=ESTIMATED)


def _parts_have_neurons(cut: Cut) -> bool:
    """Whether parts of a fan-in send their sums with neurons of their own: in cores they do."""
    return cut.parts > 1 and cut.use(cut.tile((0,) * len(cut.counts), 1)).neurons > 0


def _parted(size: int, cut: Cut) -> int:
    return size * (cut.parts if _parts_have_neurons(cut) else 1)


def _sums(group: Int64, values: Rates, groups: int) -> Rates:
    return np.asarray(np.bincount(group.reshape(-1), values, groups), np.float64)


def _core_of_tiles(placement: Placement) -> Int64:
    """The core of each tile, in the numbers of `place_traffic`."""
    cuts, first = placement.tiling.cuts, first_tiles(placement.tiling)
    found = np.zeros(placement.tiling.tiles, np.int64)
    for core, tiles in enumerate(placement.cores):
        for tile in tiles:
            cut, place = cuts[tile.population], 0
            for index, size in zip(tile.index, cut.counts, strict=True):
                place = place * size + index
            found[first[tile.population] + place * cut.parts + tile.part] = core
    return found


def _tiles(placement: Placement, active: Activity) -> list[tuple[Rates, Rates, Rates]]:
    """For each population, of its tiles: neurons, those that fire, synaptic events.

    Of parts of a fan-in, the first has the neurons of the box. In cores the others have as many, which send the part's
    sums; how often these are zero nobody knows, and all of them are taken to fire. Parts share the events evenly.
    """
    found = []
    for name in first_tiles(placement.tiling):
        cut, rates = placement.tiling.cuts[name], active.rates[name]
        sizes = box_sizes(cut)
        fired = sizes * float(rates) if rates.ndim == 0 else boxed(rates, cut)
        first = np.arange(cut.parts) == 0
        others = np.outer(sizes, ~first & _parts_have_neurons(cut))
        held, fire = (np.outer(values, first) + others for values in (sizes, fired))
        found.append((held.ravel(), fire.ravel(), _events(cut, active)))
    return found


def _events(cut: Cut, active: Activity) -> Rates:
    """Synaptic events of each tile of a population; where all that it hears is a bound, those of its fullest tile."""
    inputs = active.network.inputs(cut.population)
    if any(active.rates[synapses.source].ndim for synapses in inputs):
        came = sum((arriving(s, active.rates[s.source]) for s in inputs), np.zeros(prod(cut.shape)))
        return np.repeat(boxed(came, cut) / cut.parts, cut.parts)
    rate = max((float(active.rates[synapses.source]) for synapses in inputs), default=0.0)
    return np.full(cut.count, rate * max(kind.use.synapses for kind in cut.classes))


def boxed(values: Rates, cut: Cut) -> Rates:
    """Sums over the boxes of a cut, flat, in the order of the boxes."""
    found = values.reshape(cut.shape)
    for axis, (length, step) in enumerate(zip(cut.shape, cut.step, strict=True)):
        found = np.add.reduceat(found, np.arange(0, length, step), axis=axis)
    return np.asarray(found.reshape(prod(cut.counts)))


def _links(placement: Placement, room: Room, source: Int64, target: Int64, sent: Rates) -> Links:
    """Every message along its row and then its column."""
    chips = np.array([chip for chip, _, _ in placement.at], np.int64)
    slots = chips * room.cores + np.array(placement.slots, np.int64)
    routers, boards = room.routers_of(int(chips.max(initial=0)) + 1)
    at, board = routers[slots], boards[slots]
    a, b = at[source], at[target]
    hops = np.abs(a - b)
    size = routers.max(axis=0) + 1
    rows = _steps(a[:, 0], b[:, 0], a[:, 1], sent, (int(size[0]), int(size[1])))
    columns = _steps(a[:, 1], b[:, 1], b[:, 0], sent, (int(size[1]), int(size[0])))
    inner, outer = _busiest(rows, columns, room.routers)
    crossings = np.abs(board[source] - board[target]).sum(axis=1)
    x, y = (float((hops[:, axis] * sent).sum()) for axis in (0, 1))
    crossed = float((crossings * sent).sum())
    received, out = (_sums(cores, sent, len(chips)) for cores in (target, source))
    return Links(received, out, float(sent.sum()), x, y, crossed, inner[0], outer[0], inner[1], outer[1])


def _steps(begin: Int64, end: Int64, line: Int64, sent: Rates, size: tuple[int, int]) -> Mapping[int, Rates]:
    """Messages over each link of a line of routers: direction +1 or -1 -> [lines, links], link i joins i and i + 1."""
    length, lines = size
    found = {}
    for direction in (1, -1):
        goes = (end - begin) * direction > 0
        low, high = np.minimum(begin, end)[goes], np.maximum(begin, end)[goes]
        change = np.zeros((lines, length + 1))
        np.add.at(change, (line[goes], low), sent[goes])
        np.add.at(change, (line[goes], high), -sent[goes])
        found[direction] = np.cumsum(change, axis=1)[:, : max(length - 1, 0)]
    return found


def _busiest(
    rows: Mapping[int, Rates], columns: Mapping[int, Rates], routers: tuple[int, int]
) -> tuple[tuple[float, str], tuple[float, str]]:
    """(messages, place) of the busiest link within a chip, and of the one between chips."""
    inner, outer = (0.0, ""), (0.0, "")
    for horizontal, loads_of, width in ((True, rows, routers[0]), (False, columns, routers[1])):
        for direction, found in loads_of.items():
            border = np.arange(found.shape[1]) % width == width - 1
            inner = max(inner, _most(found, ~border, horizontal, direction))
            outer = max(outer, _most(found, border, horizontal, direction))
    return inner, outer


def _most(found: Rates, chosen: NDArray[np.bool_], horizontal: bool, direction: int) -> tuple[float, str]:
    held = np.where(chosen, found, 0.0)
    if not held.size or held.max() <= 0:
        return 0.0, ""
    line, link = np.unravel_index(int(held.argmax()), held.shape)
    ends = (int(link), int(link) + 1)[::direction]
    places = [(end, int(line)) if horizontal else (int(line), end) for end in ends]
    return float(held.max()), "router ({}, {}) to ({}, {})".format(*places[0], *places[1])
