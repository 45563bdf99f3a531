"""The spike-count constraints of a bill, by how they are met: the tightest of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurodeploy.mapping.constraint import Constraint
from neurodeploy.mapping.observed import Observed


@dataclass(frozen=True)
class ConstraintRow:
    """Constraints of one quantity that are met in one way.

    tiles: how many.  layer, rows: of the tightest one.  bound, limit: of a converter, rows that are active at once at
    most and that may be; of an accumulator, the largest sum there can be and the largest it takes, in weight units.
    reads: most turns that rows of a tile take.  seen: the most that was seen in `steps` steps, of the one that came
    nearest to its limit `seen_limit`; None where none were looked at.
    """

    quantity: str
    how: str
    tiles: int
    layer: str
    rows: int
    bound: int
    limit: int
    reads: int
    seen: int | None = None
    seen_limit: int | None = None
    steps: int = 0


def constraint_rows(found: Sequence[Constraint], observed: Sequence[Observed] = ()) -> tuple[ConstraintRow, ...]:
    """A row for each quantity and way. observed: of the constraints, in order, or none."""
    groups: dict[tuple[str, str], list[tuple[Constraint, Observed | None]]] = {}
    looks: Sequence[Observed | None] = observed or [None for _ in found]
    for one, seen in zip(found, looks, strict=True):
        groups.setdefault((one.quantity, one.how), []).append((one, seen))
    return tuple(_row(quantity, how, ones) for (quantity, how), ones in groups.items())


def _row(quantity: str, how: str, ones: Sequence[tuple[Constraint, Observed | None]]) -> ConstraintRow:
    tightest = max((one for one, _ in ones), key=lambda one: _ends(one)[0] / max(1, _ends(one)[1]))
    seen = [(most, _ends(one)[1], look.steps) for one, look in ones if look and (most := _seen(look)) is not None]
    nearest = max(seen, key=lambda look: look[0] / max(1, look[1]), default=(None, None, 0))
    count, reads = sum(one.tiles for one, _ in ones), max(one.reads for one, _ in ones)
    return ConstraintRow(quantity, how, count, tightest.layer, tightest.rows, *_ends(tightest), reads, *nearest)


def _ends(one: Constraint) -> tuple[int, int]:
    """(bound, limit) as `ConstraintRow` has them."""
    if one.sums is not None and one.width is not None:
        return one.sums.magnitude, one.width.magnitude
    return one.bound, one.limit


def _seen(look: Observed) -> int | None:
    if look.constraint.sums is None:
        return look.active
    return None if look.sums is None else look.sums.magnitude
