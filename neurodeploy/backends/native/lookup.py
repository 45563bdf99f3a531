"""Where the kernel sums axons by tables (native/kernels/lookup.hpp), and in what order."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.native import engine
from neurodeploy.backends.native.axons import Axons
from neurodeploy.backends.native.lower import TILE_GROUP, TILE_OUTPUTS
from neurodeploy.backends.native.recorder import Recorder
from neurodeploy.errors import Finding, UsageError

FORCE = "NEURODEPLOY_NATIVE_LOOKUP"  # 1: wherever tables can be used; 0: nowhere
LEAST_GAIN = 1.4  # over the tile; below, tables are not worth their making
LEAST_FAN_IN, LEAST_ROWS = 256, 512  # below, making tables and turning sums takes longer than it saves
MOST_CHANNELS = 4096  # of a tap (native/kernels/lookup.hpp)
MOST_COUNT = 31  # of an axon; above, few hold 0 or 1, which is all that a table knows
LONGEST_LIST = 1 << 16  # of axons, by 16-bit indices
INT16_MAX, INT32_MAX = 32767, 2**31 - 1


def place(
    recorder: Recorder, axons: Axons, matrix: NDArray[np.int8], runs: int, positions: int, pools: bool
) -> list[int]:
    """The lookup arguments of a convolution, or none where the tile (or columns) serves it better."""
    if not _suits(recorder, axons, matrix, runs, positions, pools):
        return []
    built = engine.load()
    groups = np.arange(-(-axons.tap * TILE_GROUP // built.AXONS))
    taps = axons.offsets[:: axons.tap].astype(np.int64) // axons.row
    line, apart = positions * axons.rows, axons.run_bytes // axons.row
    rows = (runs - 1) * apart + line + int(taps.max())
    run, across, within, sizes = rows if runs == 1 else apart, np.zeros_like(taps), taps, [rows]
    if runs > 1 and (line % built.LANES or axons.rows > built.LANES):  # vectors that end with their run would be short
        run, (down, across) = line, np.divmod(taps, apart)
        within, sizes = down * line, [int(runs + down[across == i].max()) * line for i in np.unique(across)]
    shifts, of_class = np.unique(across, return_inverse=True)
    # A last vector may begin late; an odd number of cache lines keeps the planes in different sets of the first cache.
    plane = (-(-(max(sizes) + built.LANES) // built.LANES) | 1) * built.LANES
    offsets = ((of_class[:, None] * len(groups) + groups) * plane + within[:, None]).reshape(-1)
    if offsets.max() > INT32_MAX:
        return []
    first = (np.arange(len(taps))[:, None] * axons.tap * TILE_GROUP + built.AXONS * groups).reshape(-1)
    ends = segments(matrix, first, built.AXONS, axons.tap * TILE_GROUP)
    arrays = [np.asarray(array, np.int32) for array in (offsets, first, ends, shifts, sizes, taps)]
    numbers = [len(first), len(ends), len(shifts), rows, plane, run, int(axons.most > 1)]
    return [*(recorder.program.keep(array) for array in arrays), *numbers]


def _suits(recorder: Recorder, axons: Axons, matrix: NDArray[np.int8], runs: int, positions: int, pools: bool) -> bool:
    built, rows = engine.load(), positions * axons.rows
    taps = axons.offsets[:: axons.tap]
    if axons.most > MOST_COUNT or axons.zero or (axons.most > 1 and matrix.shape[1] > LONGEST_LIST):
        return False
    if axons.tap * TILE_GROUP > MOST_CHANNELS or axons.row < 1 or np.any(taps % axons.row):
        return False
    if axons.run_bytes % axons.row or (rows if pools else axons.rows) > built.LOOKUP_LANES * built.LANES:
        return False
    forced, gain = _forced(), recorder.program.lookup_gain
    if forced is not None or gain == 0:
        return gain > 0 and forced is not False
    large = matrix.shape[1] >= LEAST_FAN_IN and runs * rows >= LEAST_ROWS and len(matrix) >= TILE_OUTPUTS
    return bool(large and gain >= LEAST_GAIN)


def _forced() -> bool | None:
    """What the variable says, if it is set. Raises UsageError for another value than 0 and 1."""
    found = os.environ.get(FORCE, "")
    if found not in ("", "0", "1"):
        raise UsageError(Finding("ND-B025", FORCE, "0 or 1", found, f"unset {FORCE}"))
    return found == "1" if found else None


def segments(matrix: NDArray[np.int8], first: NDArray[np.int64], axons: int, channels: int) -> NDArray[Any]:
    """The group before which each segment ends, so that no sum over a segment leaves int16.

    matrix: int8 [outputs, fan-in].  first: the first axon of each group.  channels: of a tap, which no group leaves.
    """
    ends = np.minimum(first + axons, (first // channels + 1) * channels)
    worst = []
    for sign in (1, -1):
        sums = np.cumsum(np.maximum(sign * matrix.astype(np.int32), 0), axis=1, dtype=np.int64)
        sums = np.concatenate([np.zeros((len(matrix), 1), np.int64), sums], axis=1)
        worst.append(sums[:, ends] - sums[:, first])
    steps = np.concatenate(worst)  # [2 outputs, groups]
    found, held = list[int](), np.zeros(len(steps), np.int64)
    for group in range(steps.shape[1]):
        if (held + steps[:, group]).max() > INT16_MAX:
            found.append(group)
            held[:] = 0
        held += steps[:, group]
    return np.array([*found, steps.shape[1]])
