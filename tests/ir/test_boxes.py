"""Boxes of one value cover an array once, and cut no axis that is shared."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.ir.boxes import boxes


@pytest.mark.parametrize("shape", [(), (1,), (7,), (1, 1), (5, 1, 1), (1, 4, 1), (3, 1, 5), (2, 3, 4)])
@pytest.mark.parametrize("highest", [0, 1, 4])
def test_boxes_cover_every_element_once(shape: tuple[int, ...], highest: int) -> None:
    values = np.random.default_rng(len(shape)).integers(0, highest + 1, shape)
    found, seen = np.full(shape, -1), np.zeros(shape, np.int64)
    for bounds, value in boxes(values):
        place: list[slice] = [slice(None)] * len(shape)
        for axis, start, stop in bounds:
            assert 0 <= start < stop <= shape[axis] != 1
            place[axis] = slice(start, stop)
        found[tuple(place)], seen[tuple(place)] = value, seen[tuple(place)] + 1
    assert (found == values).all() and (seen == 1).all()


def test_runs_go_along_the_longest_axis() -> None:
    values = np.array([[2, 2, 2, 0], [2, 2, 2, 2]])
    assert list(boxes(values)) == [
        (((0, 0, 1), (1, 0, 3)), 2),
        (((0, 0, 1), (1, 3, 4)), 0),
        (((0, 1, 2), (1, 0, 4)), 2),
    ]
