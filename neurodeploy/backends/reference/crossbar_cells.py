"""A crossbar with ADCs: its design, and how a signed weight becomes the levels of its cells.

After ISAAC (Shafiee et al., ISCA 2016): weights stored with an offset, sliced over cells, a unit column that counts the
active rows, columns flipped where their levels are large, inputs bit by bit. Differential columns, one for the positive
and one for the negative part of a weight, are the other usual coding. docs/crossbars.md has the equations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, UsageError
from neurodeploy.numerics import Int64
from neurodeploy.targets.target import safe_rows

Coding = Literal["offset", "differential"]
Inputs = Literal["bits", "repeats"]
MOST_ADC_BITS, MOST_CELL_BITS, MOST_LINES = 24, 8, 1 << 16
FLOAT32 = 1 << 24  # every integer up to this is a float32


@dataclass(frozen=True)
class Crossbar:
    """rows x columns cells of 2^cell_bits levels; each column's sum passes an ADC that clips at 2^adc_bits - 1.

    active_rows: rows that one read drives, neighbours of one tile.
    coding: "offset" stores w + 2^(weight_bits - 1) and keeps one column of ones a tile, which counts the active rows;
    "differential" stores max(w, 0) and max(-w, 0).  flips: a column whose levels sum up to more than half of what they
    could is stored as its complement ("offset" alone).
    inputs: how a number beyond 1 is fed: "bits", input_bits a read (two's complement), or "repeats", a read a unit.
    Raises UsageError for a crossbar that cannot be.
    """

    rows: int
    columns: int
    cell_bits: int
    adc_bits: int
    active_rows: int
    coding: Coding = "offset"
    flips: bool = False
    inputs: Inputs = "bits"
    input_bits: int = 1
    weight_bits: int = 8

    def __post_init__(self) -> None:
        findings = tuple(self._problems())
        if findings:
            raise UsageError(findings)

    @property
    def top(self) -> int:
        """The largest code of the ADC; an analog sum beyond it reads as this."""
        return (1 << self.adc_bits) - 1

    @property
    def level(self) -> int:
        """The largest level of a cell."""
        return (1 << self.cell_bits) - 1

    @property
    def drive(self) -> int:
        """The most that a read puts onto a row."""
        return (1 << self.input_bits) - 1 if self.inputs == "bits" else 1

    @property
    def slices(self) -> int:
        """Cells that the bits of a stored number are spread over."""
        return -(-self.weight_bits // self.cell_bits)

    @property
    def cells(self) -> int:
        """Columns that a weight takes."""
        return self.slices * (2 if self.coding == "differential" else 1)

    @property
    def units(self) -> int:
        """Columns of ones a tile, beside its `columns`."""
        return int(self.coding == "offset")

    @property
    def neurons(self) -> int:
        """Outputs that share a tile."""
        return self.columns // self.cells

    @property
    def safe_rows(self) -> int:
        """The most rows of which no read can clip, whatever the weights; see `neurodeploy.targets.target.safe_rows`."""
        return safe_rows(self.rows, self.top, self.level, self.drive, self.flips)

    @property
    def safe(self) -> bool:
        """Whether the spike-count constraint is met: no conversion can clip."""
        return self.active_rows <= self.safe_rows

    def _problems(self) -> Iterator[Finding]:
        mend = "correct the crossbar, or choose another"
        limits = {
            "rows": (1, MOST_LINES),
            "columns": (self.cells if self.cell_bits > 0 else 1, MOST_LINES),
            "cell_bits": (1, MOST_CELL_BITS),
            "input_bits": (1, MOST_CELL_BITS),
            "adc_bits": (1, MOST_ADC_BITS),
            "active_rows": (1, self.rows),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                own = f"take {name} in these limits"
                yield Finding("ND-B060", name, f"{low} to {high}", str(getattr(self, name)), f"{own}, or {mend}")
        if self.flips and self.coding != "offset":
            yield Finding("ND-B061", "flips", 'coding "offset"', repr(self.coding), mend)


class Part(NamedTuple):
    """Some rows of a layer on the tiles that hold them, and how codes become sums again.

    rows: of the fan-in.  levels: of the cells [rows, slices * outputs (+ 1 unit column)], slice by slice.
    factor: of each slice's code [slices, outputs].  unit: of the unit column's code [outputs].
    """

    rows: slice
    levels: NDArray[np.floating]
    factor: Int64
    unit: Int64


def parts(weight: Int64, crossbar: Crossbar) -> Iterator[Part]:
    """The weights [outputs, fan-in] of a layer as cells: each part is as many rows as a tile has."""
    code = {"offset": _offset, "differential": _differential}[crossbar.coding]
    for start in range(0, weight.shape[1], crossbar.rows):
        rows = slice(start, min(start + crossbar.rows, weight.shape[1]))
        digits, factor, unit = code(weight[:, rows].T, crossbar)
        levels = digits.reshape(len(digits), -1)
        if crossbar.units:
            levels = np.column_stack([levels, np.ones(len(levels), np.int64)])
        exact = np.float32 if crossbar.drive * crossbar.level * len(levels) < FLOAT32 else np.float64
        yield Part(rows, levels.astype(exact), factor, unit)


def _digits(stored: Int64, crossbar: Crossbar) -> tuple[Int64, Int64]:
    """Natural numbers [rows, outputs] as levels [rows, slices, outputs], low bits first; and each slice's place."""
    shifts = crossbar.cell_bits * np.arange(crossbar.slices, dtype=np.int64)
    return (stored[:, None] >> shifts[:, None]) & crossbar.level, np.int64(1) << shifts[:, None]


def _offset(weight: Int64, crossbar: Crossbar) -> tuple[Int64, Int64, Int64]:
    """w x = sum of place * level x, less the offset times the active rows; a flipped column counts from its top."""
    offset = 1 << (crossbar.weight_bits - 1)
    digits, place = _digits(weight + offset, crossbar)
    flipped = (
        2 * digits.sum(axis=0) > crossbar.level * len(digits) if crossbar.flips else np.zeros(digits[0].shape, bool)
    )
    unit = (crossbar.level * place * flipped).sum(axis=0) - offset
    return np.where(flipped, crossbar.level - digits, digits), np.where(flipped, -place, place), unit


def _differential(weight: Int64, crossbar: Crossbar) -> tuple[Int64, Int64, Int64]:
    """w x = sum of place * level x over the positive columns, less that over the negative ones."""
    positive, place = _digits(np.maximum(weight, 0), crossbar)
    negative, _ = _digits(np.maximum(-weight, 0), crossbar)
    factor = np.concatenate([place, -place]) * np.ones(weight.shape[1], np.int64)
    return np.concatenate([positive, negative], axis=1), factor, np.zeros(weight.shape[1], np.int64)
