"""A chip as data: its facts, and what the mapping, the bill and the crossbar backend ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from neurodeploy.numerics import PROFILES, Profile

Value = bool | int | float | tuple[int | float, ...]

_LIMITS = {  # resource -> where it stands; what is not here, and what another kind of chip has, is None
    **{key: ("core", key) for key in ("neurons", "memory", "synapse_memory", "synapses", "axons_in", "axons_out")},
    **{key: ("core", key) for key in ("fan_in", "destinations")},
    **{key: ("crossbar", key) for key in ("rows", "columns")},
    **{key: ("chip", key) for key in ("cores", "chips")},
}


def safe_rows(rows: int, top: int, level: int, drive: int, flips: bool) -> int:
    """The most rows of which no read of an array clips, whatever cells and payloads hold: floor(top / (level drive)).

    top: the largest code of the converter.  level: of a cell.  drive: the most that a read puts onto a row.
    All rows where columns are flipped and cannot clip: none then sums to more than half of rows times level, but the
    column of ones, which counts the active rows, is never flipped (Shafiee et al. 2016, section IV).
    0: a single cell may be too much.
    """
    if flips and drive * max(rows, level * rows // 2) <= top:
        return rows
    return min(rows, top // (level * drive))


@dataclass(frozen=True)
class Fact:
    """One number. value: None where the status is "absent". status: how well it is known, see STATUSES."""

    unit: str
    source: str
    status: str
    value: Value | None = None


@dataclass(frozen=True)
class Target:
    """A chip, or the CPU backends alone.

    kind: "cores", "crossbar" or "cpu".  profile: name of its arithmetic in `neurodeploy.numerics`.
    facts: table -> key -> Fact.  file: its path.
    """

    name: str
    title: str
    kind: str
    profile: str
    facts: Mapping[str, Mapping[str, Fact]]
    file: str = ""

    @property
    def arithmetic(self) -> Profile:
        """The widths that the interval proof holds a network to; equal to the file's, which was checked."""
        return PROFILES[self.profile]

    def fact(self, table: str, key: str) -> Fact | None:
        """A number with unit, source and status; None where this kind of chip has no such number."""
        return self.facts.get(table, {}).get(key)

    def value(self, table: str, key: str) -> Value | None:
        """A number in the schema's unit; None where it is absent, or where this kind of chip has none."""
        fact = self.fact(table, key)
        return None if fact is None else fact.value

    def number(self, table: str, key: str) -> float | int | None:
        """A number in the schema's unit, the largest of a list; None as in `value`."""
        value = self.value(table, key)
        return max(value) if isinstance(value, tuple) else value

    def flag(self, table: str, key: str) -> bool:
        """Whether the chip can; what is absent is not relied on."""
        return self.value(table, key) is True

    def limit(self, resource: str) -> int | None:
        """The most of a resource that one core, array, chip (cores) or system (chips) has; None: no limit is known.

        resource: neurons, memory, synapse_memory (bytes), synapses, axons_in, axons_out, fan_in, destinations, rows,
        columns, active_rows, cores, chips. Of cores that differ, the largest; see `limits`.
        """
        if resource == "active_rows":
            return self.active_rows
        found = self.number(*_LIMITS[resource]) if resource in _LIMITS else None
        return None if found is None else int(found)

    def limits(self, resource: str) -> tuple[int, ...]:
        """The limit of each core of a chip whose cores differ; () where they are alike or none is known."""
        value = self.value(*_LIMITS[resource]) if resource in _LIMITS else None
        return tuple(int(v) for v in value) if isinstance(value, tuple) else ()

    @property
    def shares_weights(self) -> bool:
        """Whether a core holds the weights of a convolution once for all its neurons."""
        return self.flag("synapse", "shares_weights")

    @property
    def any_width(self) -> bool:
        """Whether a layer's weights take as many bits as its widest one."""
        return self.flag("synapse", "any_width")

    @property
    def adds_partial_sums(self) -> bool:
        """Whether the sums of parts of a fan-in can be added without a loss."""
        return self.flag("synapse", "adds_partial_sums")

    @property
    def graded(self) -> int:
        """Payload bits of a spike, sign included; 0: spikes are binary, or nobody says that they are not."""
        return int(self.number("neuron", "payload_bits") or 0)

    @property
    def weight_bits(self) -> int | None:
        """Bits of the widest weight of one synapse, over as many cells as it needs."""
        return self._whole("synapse", "weight_bits")

    @property
    def mesh(self) -> tuple[int, int] | None:
        """Routers (x, y) of a chip."""
        x, y = self._whole("chip", "mesh_x"), self._whole("chip", "mesh_y")
        return None if x is None or y is None else (x, y)

    @property
    def cores_a_router(self) -> int | None:
        """Cores, or arrays, at one router."""
        return self._whole("chip", "cores_a_router")

    @property
    def adc_bits(self) -> int | None:
        """Width of the converter; None: a digital chip, or no width is known."""
        return self._whole("adc", "bits")

    @property
    def cell_bits(self) -> int | None:
        """Bits of one cell of a crossbar."""
        return self._whole("crossbar", "cell_bits")

    @property
    def levels(self) -> int | None:
        """Levels of one cell, the lowest of them 0."""
        return None if self.cell_bits is None else 1 << self.cell_bits

    @property
    def active_rows(self) -> int | None:
        """Rows that may be active in one read with nothing clipped, whatever the cells hold; None without a crossbar,
        0 where even one row can be clipped.

        `safe_rows`, and no more than one read can switch on.
        """
        rows, bits, levels, driven = self.limit("rows"), self.adc_bits, self.levels, self.rows_a_read
        if "adc" not in self.facts or rows is None or driven is None or bits is None or levels is None:
            return rows
        flips = self.flag("adc", "flips_columns")
        return min(driven, safe_rows(rows, (1 << bits) - 1, levels - 1, self.drive, flips))

    @property
    def rows_a_read(self) -> int | None:
        """Rows that one read can switch on: all, where no number of them is known."""
        rows = self.limit("rows")
        return None if rows is None else min(rows, self._whole("adc", "rows_a_read") or rows)

    @property
    def input_bits(self) -> int:
        """Bits of a payload that one read puts onto a row; one where none are known."""
        return self._whole("adc", "input_bits") or 1

    @property
    def drive(self) -> int:
        """The most that a read puts onto a row, in units of a spike."""
        return (1 << self.input_bits) - 1

    def cells(self, weight_bits: int) -> tuple[int, int] | None:
        """(rows, columns) that a weight of so many bits takes on a crossbar; None where it cannot be held."""
        rows, columns = (self._cells(key, weight_bits) for key in ("weight_rows", "weight_columns"))
        return None if rows is None or columns is None else (rows, columns)

    def as_json(self) -> dict[str, Any]:
        """The target as plain data."""
        return asdict(self)

    def _whole(self, table: str, key: str) -> int | None:
        found = self.number(table, key)
        return None if found is None else int(found)

    def _cells(self, key: str, weight_bits: int) -> int | None:
        value = self.value("crossbar", key)
        if isinstance(value, tuple):
            return int(value[weight_bits - 1]) if 1 <= weight_bits <= len(value) else None
        return None if value is None else int(value)
