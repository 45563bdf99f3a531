"""Tiles that share cores, exchanged between cores that lie already, where it shortens the way of the spikes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.mapping.place_pack import SUMMED_ONES
from neurodeploy.mapping.place_room import UNLIMITED, Room
from neurodeploy.mapping.place_traffic import Spikes, Traffic
from neurodeploy.numerics import Int64

MOST_SHARED = 400  # tiles; every pair of them is looked at in each step
EXCHANGES = 200


def exchanged(core: Int64, slot: Int64, uses: Int64, traffic: Traffic, room: Room) -> Int64:
    """The core of each tile once no move of a tile, and no exchange of two, shortens the way of the spikes.

    core, uses: of the tiles, int64 [tiles] and [tiles, resources].  slot: of the cores.
    """
    core, need = core.copy(), np.where(SUMMED_ONES, uses, 0)
    places = room.places(int(slot.max(initial=0)) // room.cores + 1)[slot].astype(np.float64)
    apart = np.abs(places[:, None] - places[None]).sum(axis=2)
    sent = np.zeros((len(core), len(core)))
    np.add.at(sent, (traffic.source, traffic.target), traffic.spikes)
    sent += sent.T
    np.fill_diagonal(sent, 0)
    for _ in range(EXCHANGES):
        ways = sent @ apart[core]  # [tile, core]: the spikes times hops of a tile, were it in the core
        left = _left(core, need, slot, room)
        move, tile, to = _best(ways - ways[np.arange(len(core)), core][:, None], _moves(left, need, core, slot, room))
        swap, one, two = _best(_gains(ways, sent, apart, core), _swaps(left, need, core, slot, room))
        if min(move, swap) >= 0:
            break
        if move <= swap:
            core[tile] = to
        else:
            core[one], core[two] = core[two], core[one]
    return core


def _left(core: Int64, need: Int64, slot: Int64, room: Room) -> Int64:
    used = np.zeros((len(slot), need.shape[1]), np.int64)
    np.add.at(used, core, need)
    return np.asarray(room.largest - used)


def _gains(ways: Spikes, sent: Spikes, apart: Spikes, core: Int64) -> Spikes:
    """What the way gains where two tiles change places, [tile, tile]."""
    moved = ways[:, core] - ways[np.arange(len(core)), core][:, None]
    return np.asarray(moved + moved.T + 2 * sent * apart[core][:, core])


def _moves(left: Int64, need: Int64, core: Int64, slot: Int64, room: Room) -> NDArray[np.bool_]:
    """Whether a tile may go to a core, [tile, core]."""
    fits = (left[None] >= need[:, None]).all(axis=2)
    return np.asarray(fits & _reachable(slot[core], slot, room))


def _swaps(left: Int64, need: Int64, core: Int64, slot: Int64, room: Room) -> NDArray[np.bool_]:
    """Whether two tiles may change places, [tile, tile]."""
    one_goes = (left[core][:, None] + need[:, None] - need[None] >= 0).all(axis=2)
    return np.asarray(one_goes & one_goes.T & _reachable(slot[core], slot[core], room))


def _reachable(one: Int64, other: Int64, room: Room) -> NDArray[np.bool_]:
    """Tiles stay on their chip where its totals might not hold all that its cores can."""
    tight = (room.totals < UNLIMITED) & (room.largest > room.totals // room.cores)
    return np.asarray((one[:, None] // room.cores == other[None] // room.cores) | ~tight.any())


def _best(gains: Spikes, allowed: NDArray[np.bool_]) -> tuple[float, int, int]:
    """The lowest of what is allowed, and where it stands."""
    found = np.where(allowed, gains, np.inf)
    row, column = divmod(int(found.argmin()), found.shape[1])
    return float(found[row, column]), row, column
