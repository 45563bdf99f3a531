"""What a target has room for: the slots of its chips, each with limits and a place on the mesh."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from math import isqrt

import numpy as np

from neurodeploy.ir.chip import Use
from neurodeploy.numerics import Int64
from neurodeploy.targets.target import Target

RESOURCES = tuple(f.name for f in fields(Use))
SUMMED = frozenset(RESOURCES) - {"active_rows"}  # what the tiles of a core share; active rows are each array's own
UNLIMITED = 1 << 53  # where no limit is known
CROSSING = 8  # hops that a way to the next chip counts as, in what placement makes small; no figure uses it


@dataclass(frozen=True)
class Room:
    """Limits of the cores of one chip, and where they lie.

    limits: int64 [cores, resources], in the order of RESOURCES.  routers: (x, y).  chips: of the largest system, None
    where no number is known.  known: whether the number of cores is; else there is one.  shares: whether tiles of
    several populations may lie in one core.  totals: int64 [resources], of one chip.  destinations: cores that the
    spikes of one core can go to.
    """

    limits: Int64
    routers: tuple[int, int]
    cores_a_router: int
    chips: int | None
    known: bool
    shares: bool
    totals: Int64
    destinations: int | None

    @property
    def cores(self) -> int:
        """Cores of one chip."""
        return len(self.limits)

    @cached_property
    def largest(self) -> Int64:
        """The most of each resource that any core has, int64 [resources]."""
        return np.asarray(self.limits.max(axis=0))

    @property
    def alike(self) -> bool:
        """Whether all cores have the same limits."""
        return bool((self.limits == self.limits[0]).all())

    def at(self, slot: int) -> tuple[int, int, int]:
        """(chip, x, y) of a slot; slots count the cores of all chips, and cores the routers row by row."""
        chip, core = divmod(slot, self.cores)
        y, x = divmod(core // self.cores_a_router, self.routers[0])
        return chip, x, y

    def places(self, chips: int) -> Int64:
        """int64 [chips * cores, 2]: places whose Manhattan distance is the way of a spike, in hops.

        A way over the border of a chip counts CROSSING hops more.
        """
        router, board = self.routers_of(chips)
        return np.asarray(router + board * CROSSING, np.int64)

    def routers_of(self, chips: int) -> tuple[Int64, Int64]:
        """Of every slot, the router's (x, y) on the board of all chips, and the chip's: int64 [chips * cores, 2] both.

        The chips form a near-square board, the rows of it taken to and fro.
        """
        width = isqrt(max(chips - 1, 0)) + 1
        chip, core = np.divmod(np.arange(chips * self.cores), self.cores)
        y, x = np.divmod(core // self.cores_a_router, self.routers[0])
        down, right = np.divmod(chip, width)
        board = np.stack([np.where(down % 2, width - 1 - right, right), down], axis=1)
        return np.stack([x, y], axis=1) + board * np.array(self.routers), board


def room_of(target: Target) -> Room | None:
    """The room of a chip; None where it is no chip.

    A mesh that is not published is taken to be near-square with one core a router.
    """
    if target.kind == "cpu":
        return None
    cores = target.limit("cores") or 1
    each = target.cores_a_router or 1
    width = isqrt(max(-(-cores // each) - 1, 0)) + 1
    return Room(
        limits=np.stack([_of_cores(target, name, cores) for name in RESOURCES], axis=1),
        routers=target.mesh or (width, -(-cores // (each * width))),
        cores_a_router=each,
        chips=target.limit("chips"),
        known=target.limit("cores") is not None,
        shares=not {"convolution", "adc"} & set(target.facts),
        totals=np.array([_of_chip(target, name) for name in RESOURCES], np.int64),
        destinations=target.limit("destinations"),
    )


def _of_cores(target: Target, resource: str, cores: int) -> Int64:
    each = target.limits(resource)
    if each:
        return np.array([each[core % len(each)] for core in range(cores)], np.int64)
    limit = target.limit(resource)
    return np.full(cores, UNLIMITED if limit is None else limit, np.int64)


def _of_chip(target: Target, resource: str) -> int:
    """Neurons and synapses of a chip; stored synapses are bound by the cores' memory where weights are shared."""
    counted = resource == "neurons" or (resource == "synapses" and not target.shares_weights)
    value = target.number("chip", resource) if counted else None
    return UNLIMITED if value is None else int(value)
