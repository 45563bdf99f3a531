"""Which columns the moments are made of, and that float32 is left where it would round."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.ir.graph import Node
from neurodeploy.quantize import moments as m


@pytest.mark.parametrize(("height", "width", "every"), [(32, 32, 16), (16, 16, 8), (16, 16, 4), (28, 28, 3), (1, 1, 9)])
def test_some_parts_see_every_position_and_each_part_all_columns(height: int, width: int, every: int) -> None:
    positions = height * width
    parts = [m._spread(positions, every, number) for number in range(every)]
    assert all(len(np.unique(part)) == len(part) == -(-positions // every) for part in parts)
    assert len(np.unique(np.concatenate(parts))) == positions
    columns = min(width, len(parts[0]) // 2)  # by chance or not, most of them
    assert all(len(np.unique(part % width)) >= columns for part in parts)


@pytest.mark.parametrize("low", [-128, -7])
def test_sums_of_the_lowest_codes_are_exact(low: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.choice(np.array([low, 0, 5], np.int8), (4, 16, 3, 32, 32), p=[0.5, 0.1, 0.4])
    weight, bias = np.ones((2, 3, 1, 1)), np.zeros(2)
    conv = Node("conv", "conv", ("x",), {"groups": 1, "stride": (1, 1), "padding": (0, 0)}, {"weight": weight})
    found = m.moments(conv, weight, bias, x, np.zeros((4, 16, 2, 32, 32), np.float32))
    flat = x.transpose(2, 0, 1, 3, 4).reshape(3, -1).astype(np.int64)
    assert found.columns == flat.shape[1]
    assert (found.square[0] == flat @ flat.T).all()
