"""Constraints by how they are met: the tightest, and what was seen."""

from __future__ import annotations

from neurodeploy.ir.types import Interval
from neurodeploy.mapping.bill_constraints import constraint_rows
from neurodeploy.mapping.constraint import Constraint
from neurodeploy.mapping.observed import Observed

SPLIT = [
    Constraint(f"p{n}", f"layer{n}", "converter", 128, n, 10, "rows split", reads=13, tiles=n) for n in (20, 90, 40)
]
SUM = Constraint(
    "q", "sum", "accumulator", 9, 9, 9, "worst case", sums=Interval(-500, 100), width=Interval(-1000, 1000)
)


def test_the_tightest_stands_for_those_that_are_met_alike() -> None:
    split, summed = constraint_rows([*SPLIT, SUM])
    assert (split.layer, split.bound, split.limit, split.tiles, split.reads) == ("layer90", 90, 10, 150, 13)
    assert (summed.layer, summed.rows, summed.bound, summed.limit) == ("sum", 9, 500, 1000)
    assert (split.seen, split.steps) == (None, 0)


def test_what_was_seen_is_that_of_the_one_nearest_to_its_limit() -> None:
    seen = [Observed(one, active, None, 8) for one, active in zip(SPLIT, (7, 3, None), strict=True)]
    split, summed = constraint_rows([*SPLIT, SUM], [*seen, Observed(SUM, 5, Interval(-40, 60), 8)])
    assert (split.seen, split.seen_limit, split.steps) == (7, 10, 8)
    assert (summed.seen, summed.seen_limit) == (60, 1000)
