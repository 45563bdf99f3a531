"""What netx executes of a dense layer's weights; against netx itself, test_dl.py says it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.netx.weights import NotExecuted, dense_as_executed, split


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ([[3, -3]], [[3, -3]]),
        ([[-2, -4]], [[-2, -2]]),
        ([[-4, -4]], [[0, 0]]),
        ([[-8, -2]], [[-6, -2]]),
        ([[-6, -2]], [[-6, -2]]),
        ([[-256, 254]], [[-256, 254]]),
        ([[-300, 300]], [[-256, 254]]),
        ([[255, 3]], [[255, 3]]),
    ],
)
def test_what_is_executed(given: list[list[int]], made: list[list[int]]) -> None:
    assert dense_as_executed(np.array(given)).tolist() == made


@pytest.mark.parametrize("weights", [[[0, 0]], [[0], [-1], [-2]], [[256, 0]], [[-257]], [[-255, 0]]])
def test_what_netx_cannot_run_as_one_matrix(weights: list[list[int]]) -> None:
    with pytest.raises(NotExecuted):
        dense_as_executed(np.array(weights))


@given(st.lists(st.integers(-128, 127), min_size=2, max_size=30))
def test_both_signs_are_executed_as_they_are(weights: list[int]) -> None:
    mixed = np.array([[*weights, 1, -1]])
    assert (dense_as_executed(2 * mixed) == 2 * mixed).all() and (dense_as_executed(mixed) == mixed).all()


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=30), st.integers(0, 8))
def test_weights_are_split_into_bytes_and_an_exponent(weights: list[int], exponent: int) -> None:
    found = split(np.array(weights) << exponent)
    assert found is not None and found.exponent <= exponent
    assert (found.weight << found.exponent == np.array(weights) << exponent).all()
    assert found.weight.min() >= -128 and found.weight.max() <= 127


def test_weights_that_no_byte_holds() -> None:
    assert split(np.array([129])) is None and split(np.array([1, 256])) is None
