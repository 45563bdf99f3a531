"""Tiles to cores: first fit, largest first, with the neighbours that a tile hears most where they have room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import TileClass, Use
from neurodeploy.mapping.place_room import RESOURCES, SUMMED, UNLIMITED, Room
from neurodeploy.mapping.place_traffic import Traffic
from neurodeploy.numerics import Int64

SUMMED_ONES = np.array([name in SUMMED for name in RESOURCES])  # resources that the tiles of a core share
_SIZES = 32  # steps of fill by which tiles count as large


def uses_of(uses: Iterable[Use]) -> Int64:
    """int64 [uses, resources]."""
    return np.array([[n for _, n in use.items()] for use in uses], np.int64).reshape(-1, len(RESOURCES))


def use_of(row: Int64) -> Use:
    """The Use of one row."""
    return Use(**dict(zip(RESOURCES, map(int, row), strict=True)))


def joined(uses: Int64, core: Int64, cores: int) -> Int64:
    """What each core uses, int64 [cores, resources]: sums, and the largest of what tiles do not share."""
    found = np.zeros((cores, len(RESOURCES)), np.int64)
    np.add.at(found, core, np.where(SUMMED_ONES, uses, 0))
    np.maximum.at(found, core, np.where(SUMMED_ONES, 0, uses))
    return found


def pack(uses: Int64, room: Room, traffic: Traffic) -> Int64:
    """The core of each tile, int64 [tiles], cores numbered from 0. Every tile fits the largest core by itself.

    Cores that differ hold one tile each.
    """
    if not room.shares or not room.alike:
        return np.arange(len(uses))
    return _Packing(uses, room, traffic).run()


class _Packing:
    """Cores while they fill."""

    def __init__(self, uses: Int64, room: Room, traffic: Traffic) -> None:
        self.need = np.where(SUMMED_ONES, uses, 0)
        self.room = room
        self.left = np.empty((len(uses), len(RESOURCES)), np.int64)  # of each core, opened or not
        self.left[:] = room.largest
        self.core = np.full(len(uses), -1, np.int64)
        self.opened = 0
        self.begin, self.near, self.spikes = neighbours(traffic, len(uses))
        _, self.kind = np.unique(self.need, axis=0, return_inverse=True)
        self.kind = self.kind.reshape(-1)
        self.least = self.need.min(axis=0, initial=UNLIMITED)  # that any tile needs: a core with less left is full
        self.full = np.zeros(len(uses), np.bool_)
        self.tried = np.zeros(self.kind.max(initial=0) + 1, np.int64)  # of a kind: no core before this one has room

    def run(self) -> Int64:
        """Place all tiles, the larger ones first; of equals, in their order."""
        fill = (self.need / self.room.largest).max(axis=1)
        for tile in np.argsort(-np.ceil(fill * _SIZES), kind="stable"):
            core = self._first(tile)
            core = self._beside(tile, core) if core < self.opened else core
            self.core[tile] = core
            self.left[core] -= self.need[tile]
            self.full[core] = (self.left[core] < self.least).any()
            self.opened = max(self.opened, core + 1)
        return self.core

    def _beside(self, tile: int, first: int) -> int:
        """The core with room whose tiles have most traffic with this one; the first with room where none has any."""
        edges = slice(self.begin[tile], self.begin[tile + 1])
        cores = self.core[self.near[edges]]
        known = (cores >= 0) & ~self.full[cores]
        cores = cores[known]
        if not cores.size:
            return first
        found, at = np.unique(cores, return_inverse=True)
        fits = (self.left[found] >= self.need[tile]).all(axis=1)
        if not fits.any():
            return first
        weight = np.bincount(at.reshape(-1), self.spikes[edges][known], len(found))
        return int(found[np.where(fits, weight, -1.0).argmax()])

    def _first(self, tile: int) -> int:
        """The first core with room, a new one at the latest."""
        kind, need = self.kind[tile], self.need[tile]
        core = int(self.tried[kind])
        while (self.left[core] < need).any():
            ahead = (self.left[core : core + 64] >= need).all(axis=1)
            core += int(ahead.argmax()) if ahead.any() else len(ahead)
        self.tried[kind] = core
        return core


def neighbours(traffic: Traffic, count: int) -> tuple[Int64, Int64, NDArray[np.float64]]:
    """For each node i, nodes near[begin[i]:begin[i + 1]] that it has traffic with, whatever the direction."""
    one = np.concatenate([traffic.source, traffic.target])
    order = np.argsort(one, kind="stable")
    begin = np.concatenate([[0], np.cumsum(np.bincount(one, minlength=count))]).astype(np.int64)
    near = np.concatenate([traffic.target, traffic.source])[order]
    return begin, near, np.tile(traffic.spikes, 2)[order]


def pack_classes(classes: Sequence[TileClass], room: Room) -> tuple[tuple[Use, int], ...]:
    """(use, cores that use it), exact for first fit, largest class first, without a look at single tiles.

    Equal cores are filled alike: each step puts as many equal tiles as fit into as many equal cores as it takes.
    """
    uses, counts = uses_of(c.use for c in classes), [c.count for c in classes]
    if not room.shares or not room.alike:
        return _merged(zip(map(use_of, uses), counts, strict=True))
    open_cores: dict[tuple[int, ...], int] = {}
    for kind in np.argsort(-(uses / room.largest).max(axis=1), kind="stable"):
        _fill(open_cores, uses[kind], counts[kind], room)
    return _merged((use_of(np.array(used)), count) for used, count in open_cores.items())


def _fill(open_cores: dict[tuple[int, ...], int], use: Int64, tiles: int, room: Room) -> None:
    need = np.where(SUMMED_ONES, use, 0)
    empty = (0,) * len(RESOURCES)
    for used, cores in [*open_cores.items(), (empty, tiles)]:
        if not tiles:
            return
        each = max(int(used == empty), _fits(room.largest - np.array(used), need))
        if not each:
            continue
        full = min(cores, tiles // each)
        rest = min(tiles - full * each, each) if full < cores else 0
        if used != empty:
            open_cores[used] -= full + (rest > 0)
        _add(open_cores, used, use, each, full)
        _add(open_cores, used, use, rest, int(rest > 0))
        tiles -= full * each + rest


def _fits(left: Int64, need: Int64) -> int:
    """How many tiles go into what is left."""
    asked = need > 0
    return max(0, int((left[asked] // need[asked]).min())) if asked.any() else 1


def _add(open_cores: dict[tuple[int, ...], int], used: tuple[int, ...], use: Int64, each: int, cores: int) -> None:
    if cores:
        old = np.array(used)
        now = tuple(map(int, np.where(SUMMED_ONES, old + each * use, np.maximum(old, use))))
        open_cores[now] = open_cores.get(now, 0) + cores


def _merged(cores: Iterable[tuple[Use, int]]) -> tuple[tuple[Use, int], ...]:
    """Equal uses once, in the order in which they came; none that is left empty."""
    found: dict[Use, int] = {}
    for use, count in cores:
        found[use] = found.get(use, 0) + count
    return tuple((use, count) for use, count in found.items() if count)
