"""The spike-count constraints of a bill, by how they are met: the tightest of each kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from neurodeploy.mapping.constraint import Constraint


@dataclass(frozen=True)
class ConstraintRow:
    """Constraints of one quantity that are met in one way.

    tiles: how many.  layer: of the tightest one, with its rows, the rows active at once at most, and their limit.
    reads: most turns that rows of a tile take.
    """

    quantity: str
    how: str
    tiles: int
    layer: str
    rows: int
    bound: int
    limit: int
    reads: int


def constraint_rows(found: Iterable[Constraint]) -> tuple[ConstraintRow, ...]:
    """A row for each quantity and way."""
    groups: dict[tuple[str, str], list[Constraint]] = {}
    for one in found:
        groups.setdefault((one.quantity, one.how), []).append(one)
    return tuple(_row(quantity, how, ones) for (quantity, how), ones in groups.items())


def _row(quantity: str, how: str, ones: list[Constraint]) -> ConstraintRow:
    tightest = max(ones, key=_fill)
    count = sum(one.tiles for one in ones)
    reads = max(one.reads for one in ones)
    return ConstraintRow(quantity, how, count, tightest.layer, tightest.rows, tightest.bound, tightest.limit, reads)


def _fill(one: Constraint) -> float:
    """How near a constraint is to its limit: by the sums where they are known, else by rows."""
    if one.sums is not None and one.width is not None and one.width.magnitude:
        return one.sums.magnitude / one.width.magnitude
    return one.bound / one.limit if one.limit else 0.0
