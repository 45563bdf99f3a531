"""Samples that are chosen for a calibration."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.images import spread


@pytest.mark.parametrize(("held", "count"), [(511, 256), (300, 256), (256, 256), (1000, 7), (3, 8), (0, 4)])
def test_samples_are_spread_from_the_first_class_to_the_last(held: int, count: int) -> None:
    chosen = spread(np.arange(held), count)
    assert len(chosen) == min(held, count) == len(np.unique(chosen))
    steps = np.diff(chosen)
    assert not len(steps) or (steps.max() - steps.min() <= 1 and held - chosen[-1] <= steps.max())
