"""Cores to slots of the mesh: in the order of depth along a curve, cut into chips at thin places, improved by swaps.

The work is bounded by counts, never by a clock, so that the same network is always placed alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from neurodeploy.mapping.place_pack import neighbours
from neurodeploy.mapping.place_room import UNLIMITED, Room
from neurodeploy.mapping.place_traffic import Spikes, Traffic, cut_sizes
from neurodeploy.numerics import Int64

REGION = 160  # slots that swaps are looked for among at a time; four routers where they have many
WORK = 2_000_000_000  # numbers touched in search of swaps, in all: about five seconds
PULLS = 32  # steps in which traffic draws an order together
STARTS = 12  # random ones beside the curve, where one region holds all
WORTH = 0.998  # a sweep over the mesh that leaves more of the traffic than this is the last
NEVER = float(1 << 60)  # spikes times hops of a core in a slot where it does not fit


def cut_into_chips(order: Int64, uses: Int64, traffic: Traffic, room: Room) -> Int64:
    """The chip of each core, int64 [cores]: as few chips as an order needs, cut where the fewest spikes cross."""
    cores = len(order)
    crossing = cut_sizes(traffic, order, cores)
    filled = np.concatenate([np.zeros((1, uses.shape[1]), np.int64), np.cumsum(uses[order], axis=0)])
    cost, before = np.zeros((cores + 1, 2)), np.zeros(cores + 1, np.int64)  # cost: chips, spikes over cuts to the left
    first = 0
    for end in range(1, cores + 1):
        while end - first > room.cores or ((filled[end] - filled[first] > room.totals).any() and first < end - 1):
            first += 1
        chips = cost[first:end, 0]
        fewest = np.flatnonzero(chips == chips.min())
        best = first + fewest[(cost[first:end, 1] + crossing[first:end])[fewest].argmin()]
        before[end] = best
        cost[end] = cost[best, 0] + 1, cost[best, 1] + crossing[best]
    chip, end, at = np.empty(cores, np.int64), cores, int(cost[cores, 0]) - 1
    while end:
        chip[order[before[end] : end]] = at
        end, at = int(before[end]), at - 1
    return chip


def curve(width: int, height: int) -> Int64:
    """The routers (y * width + x) of a mesh along a way whose neighbours are near: strips of two columns or rows."""
    if width < height:
        return np.array([x * width + y for x, y in (divmod(int(r), height)[::-1] for r in curve(height, width))])
    along = []
    for strip, top in enumerate(range(0, height, 2)):
        for number, x in enumerate(range(width) if strip % 2 == 0 else reversed(range(width))):
            rows = range(top, min(top + 2, height))
            along += [y * width + x for y in (rows if number % 2 == 0 else reversed(rows))]
    return np.array(along)


def start(chip: Int64, order: Int64, room: Room) -> Int64:
    """The slot of each core: those of a chip, in their order, along the curve."""
    each = room.cores_a_router
    slots = (curve(*room.routers)[:, None] * each + np.arange(each)).reshape(-1)
    slots = slots[slots < room.cores]
    slot = np.empty(len(chip), np.int64)
    for one in range(int(chip.max(initial=-1)) + 1):
        members = order[chip[order] == one]
        slot[members] = one * room.cores + slots[: len(members)]
    return slot


def drawn_together(order: Int64, traffic: Traffic) -> Int64:
    """An order in which each core has come nearer to those that it has traffic with, step by step."""
    cores = len(order)
    at, steps = np.empty(cores), np.arange(cores, dtype=np.float64)
    at[order] = steps
    ends = ((traffic.source, traffic.target), (traffic.target, traffic.source))
    total = sum(np.bincount(one, traffic.spikes, cores) for one, _ in ends)
    for _ in range(PULLS):
        pull = sum(np.bincount(one, traffic.spikes * at[other], cores) for one, other in ends)
        order = np.argsort(at + np.divide(pull, total, out=at.copy(), where=total > 0), kind="stable")
        at[order] = steps
    return order


def arranged(order: Int64, uses: Int64, traffic: Traffic, room: Room) -> Int64:
    """The slot of each core, where cores are alike: from the order of depth and from the one that traffic draws
    together, the better start first, as far as the work goes."""
    starts = []
    for one in (order, drawn_together(order, traffic)):
        chip = cut_into_chips(one, uses, traffic, room)
        mesh = Mesh(start(chip, one, room), uses, traffic, room)
        starts.append((mesh.chips, mesh.cost(), mesh))
    starts.sort(key=lambda found: found[:2])
    work, found = WORK, list[tuple[float, Int64]]()
    for chips, _, mesh in starts:
        if chips == starts[0][0] and (work > 0 or not found):
            slot, work = mesh.improve(work), mesh.work
            found.append((mesh.cost(), slot))
    return min(found, key=lambda one: one[0])[1]


class Mesh:
    """Cores in slots, while they are moved."""

    def __init__(self, slot: Int64, uses: Int64, traffic: Traffic, room: Room) -> None:
        self.room, self.uses, self.slot, self.traffic = room, uses, slot.copy(), traffic
        self.chips = int(slot.max(initial=0)) // room.cores + 1
        self.places = room.places(self.chips).astype(np.float64)
        self.begin, self.near, self.spikes = neighbours(traffic, len(slot))
        self.held = np.full(len(self.places), -1, np.int64)
        self.held[slot] = np.arange(len(slot))
        self.work = 0
        tight = (room.totals < UNLIMITED) & (uses.max(axis=0, initial=0) * room.cores > room.totals)
        self.stays = bool(tight.any())  # a core that went to another chip might overfill it

    def improve(self, work: int = WORK) -> Int64:
        """The slot of each core once no swap within a region shortens the way of the spikes, or all work is done."""
        self.work = work
        regions = list(self._regions(0, 0))
        if len(regions) == 1:
            self._restarts(regions[0], np.random.default_rng(0))
            return np.asarray(self.slot)
        cost = self.cost()
        while self.work > 0 and cost > 0:
            for shift in ((0, 0), (1, 1), (1, 0), (0, 1)):
                for region in self._regions(*shift):
                    if self.work > 0:
                        self._settle(region)
            before, cost = cost, self.cost()
            if cost > WORTH * before:
                break
        return np.asarray(self.slot)

    def cost(self) -> float:
        """Spikes times hops."""
        a, b = self.places[self.slot[self.traffic.source]], self.places[self.slot[self.traffic.target]]
        return float((np.abs(a - b).sum(axis=1) * self.traffic.spikes).sum())

    def _restarts(self, region: Int64, random: np.random.Generator) -> None:
        best, least = self.slot, np.inf
        for attempt in range(STARTS + 1):
            if attempt and self.room.alike:
                self._put(random.permutation(region)[: len(best)])
            self._settle(region)
            if (cost := self.cost()) < least:
                best, least = self.slot.copy(), cost
            if self.work <= 0 or least == 0:
                break
        self._put(best)

    def _put(self, slot: Int64) -> None:
        self.slot = slot.copy()
        self.held[:] = -1
        self.held[slot] = np.arange(len(slot))

    def _regions(self, right: int, down: int) -> Iterator[Int64]:
        """The mesh in blocks of about REGION slots, moved by half a block to the right and down."""
        routers, each = np.array(self.room.routers), self.room.cores_a_router
        side = max(2, isqrt(REGION // each))
        block = routers if routers.prod() * each <= REGION else np.minimum(routers, side)
        chip = np.arange(len(self.places)) // self.room.cores
        x, y = ((self.room.routers_of(self.chips)[0] + np.array([right, down]) * (block // 2)) // block).T
        key = (y * (x.max() + 1) + x) * self.chips + chip * self.stays
        order = np.argsort(key, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(key[order])) + 1)
        yield from (np.asarray(part) for part in parts if len(part) > 1 and (self.held[part] >= 0).any())

    def _settle(self, region: Int64) -> None:
        """Swap the best pair of slots of a region until no swap helps."""
        held = self.held[region]
        inside, outside = self._around(region, held)
        places = self.places[region]
        apart = np.abs(places[:, None] - places[None]).sum(axis=2)
        ways = outside + inside @ apart  # [who, whose place]: the spikes times hops of who, were it there
        both = 2 * inside * apart
        at, gain = np.arange(len(region)), np.empty_like(ways)  # who -> place
        while self.work > 0:
            here = ways.diagonal()
            np.add(ways, ways.T, out=gain)
            gain += both
            gain -= here[:, None] + here
            one, two = divmod(int(gain.argmin()), len(at))
            if gain[one, two] >= 0:
                break
            ways += (inside[:, one] - inside[:, two])[:, None] * (apart[two] - apart[one])
            _swap(at, ways.T, apart, apart.T, one=one, two=two)
            both[[one, two]] = 2 * inside[[one, two]] * apart[[one, two]]
            both[:, [one, two]] = both[[one, two]].T
            self.work -= 5 * inside.size
        self.held[region[at]] = held
        self.slot[held[held >= 0]] = region[at][held >= 0]

    def _around(self, region: Int64, held: Int64) -> tuple[Spikes, Spikes]:
        """Of the cores in a region: the traffic among them [who, who], and the spikes times hops between each, at each
        place, and all cores outside [who, place]."""
        who = np.flatnonzero(held >= 0)
        begin, fan = self.begin[held[who]], np.diff(self.begin)[held[who]]
        edge = np.arange(fan.sum()) + np.repeat(begin - np.cumsum(fan) + fan, fan)
        self.work -= 20 * len(edge) + 20 * len(region) ** 2
        place = np.full(len(self.places), -1, np.int64)
        place[region] = np.arange(len(region))
        who, spikes, slot = np.repeat(who, fan), self.spikes[edge], self.slot[self.near[edge]]
        near = place[slot] >= 0
        inside = np.zeros((len(region), len(region)))
        inside[who[near], place[slot[near]]] = spikes[near]
        return inside, self._outside(region, who[~near], slot[~near], spikes[~near]) + self._unfit(region, held)

    def _outside(self, region: Int64, who: Int64, slot: Int64, spikes: Spikes) -> Spikes:
        """Along each axis, what every who sends to each line of the mesh, times how far the line is from each place."""
        found = np.zeros((len(region), len(region)))
        for axis in (0, 1):
            line, lines = self.places[slot, axis].astype(np.int64), int(self.places[:, axis].max()) + 1
            sent = np.bincount(who * lines + line, spikes, len(region) * lines).reshape(-1, lines)
            found += sent @ np.abs(np.arange(lines)[:, None] - self.places[region, axis][None])
        return found

    def _unfit(self, region: Int64, held: Int64) -> Spikes | float:
        """A price for every place that has no room for who, where cores differ."""
        if self.room.alike:
            return 0.0
        limits = self.room.limits[region % self.room.cores]
        unfit = (self.uses[held][:, None] > limits[None]).any(axis=2)
        return np.asarray(NEVER * (unfit & (held >= 0)[:, None]))


def _swap(*arrays: NDArray[np.int64] | Spikes, one: int, two: int) -> None:
    """Exchange two rows of each array."""
    for array in arrays:
        array[[one, two]] = array[[two, one]]
