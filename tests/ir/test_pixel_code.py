"""The code of the input: rounding, its ends, and what lies beyond."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.ir.graph import Node
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.types import Interval


def code(op: str = "encode") -> PixelCode:
    return PixelCode.of(Node(op, "x", (), {"shape": (1,), "step": 0.5, "lo": -4, "hi": 3}))


def test_of_a_node() -> None:
    assert code() == PixelCode(0.5, Interval(-4, 3))
    assert code("encode_events").events
    assert code().range == (-2.0, 1.5)


def test_codes_are_rounded_to_even_and_clipped() -> None:
    given = np.array([0.25, 0.75, 1.25, -0.25, 99, -99], np.float32)
    assert code().encode(given).tolist() == [0, 2, 2, 0, 3, -4]


@pytest.mark.parametrize(("op", "share"), [("encode", 2 / 8), ("encode_events", 2 / 5)])
def test_the_share_beyond_the_ends_by_more_than_half_a_code(op: str, share: float) -> None:
    given = np.array([0, 0, 0, 1.5, 1.75, 1.76, -2.25, -2.26], np.float32)
    assert code(op).clipped_share(given) == share
