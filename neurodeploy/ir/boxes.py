"""An array whose axes may be shared, in boxes of elements of one value."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from neurodeploy.ir.graph import Tensor

Bounds = tuple[tuple[int, int, int], ...]


def boxes(values: Tensor) -> Iterator[tuple[Bounds, int]]:
    """Each box as ((axis, start, stop), ..) of the axes that it is cut along, and its value.

    An axis of one element is shared, and never cut; runs go along the longest of the others.
    """
    own = sorted((axis for axis, size in enumerate(values.shape) if size > 1), key=lambda axis: values.shape[axis])
    table = values.transpose([*(axis for axis in range(values.ndim) if axis not in own), *own])
    table = table.reshape([values.shape[axis] for axis in own])
    if not own:
        yield (), int(table)
        return
    for place in np.ndindex(table.shape[:-1]):
        outer = tuple((axis, at, at + 1) for axis, at in zip(own, place, strict=False))
        cuts = [0, *(np.flatnonzero(np.diff(table[place])) + 1).tolist(), table.shape[-1]]
        for start, stop in pairwise(cuts):
            yield (*outer, (own[-1], start, stop)), int(table[place][start])
