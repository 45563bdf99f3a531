"""The input of a convolution as the kernels find it: rows of axons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.native.views import View

WIDER = 1 << 31


@dataclass(frozen=True)
class Axons:
    """Where the kernel finds the input: bytes from row to row and from run to run, and offsets of the taps."""

    view: View
    offsets: NDArray[np.int32]
    row: int
    runs: int
    run_bytes: int
    positions: int
    rows: int  # a position: T, or 1 where the input is the same in all steps
    zero: int  # what stands in memory for 0
    tap: int  # groups of axons that lie side by side; each tap of the weights is padded to so many
    most: int = WIDER  # that any axon is in memory
