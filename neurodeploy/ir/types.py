"""What travels along an edge: the shape of one time step, and for integers the proven interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Interval:
    """All integers from lo to hi, both included; plain Python ints, so no proof can overflow."""

    lo: int
    hi: int

    def __post_init__(self) -> None:
        if self.lo > self.hi:
            raise ValueError(f"empty interval [{self.lo}, {self.hi}]")

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(abs(self.lo), abs(self.hi))

    def within(self, other: Interval) -> bool:
        """Whether every integer of this interval lies in the other."""
        return other.lo <= self.lo and self.hi <= other.hi

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def __mul__(self, other: Interval) -> Interval:
        corners = [a * b for a in (self.lo, self.hi) for b in (other.lo, other.hi)]
        return Interval(min(corners), max(corners))

    def scaled(self, factor: int) -> Interval:
        """The interval of a sum of `factor` >= 0 independent terms, or of a product with `factor`."""
        return Interval(self.lo * factor, self.hi * factor)

    def union(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        return Interval(min(self.lo, other.lo), max(self.hi, other.hi))

    def __str__(self) -> str:
        return f"{self.lo}..{self.hi}"


def signed(bits: int) -> Interval:
    """The two's-complement integers of so many bits."""
    return Interval(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def unsigned(bits: int) -> Interval:
    """The natural numbers of so many bits."""
    return Interval(0, (1 << bits) - 1)


BINARY = unsigned(1)
BYTE = unsigned(8)
SIGNED_BYTE = signed(8)


@dataclass(frozen=True)
class ValueType:
    """The type of a value: its shape in one time step (neither time nor batch axis) and its interval.

    interval is None for the float values of a traced graph.
    """

    shape: tuple[int, ...]
    interval: Interval | None = None

    @property
    def size(self) -> int:
        """Elements in one time step."""
        return prod(self.shape)

    @property
    def range(self) -> Interval:
        """The interval of an integer value.

        Raises TypeError on a float value: passes on quantized graphs never see one.
        """
        if self.interval is None:
            raise TypeError("a float value has no proven interval")
        return self.interval

    @property
    def kind(self) -> str:
        """float, spikes (binary), counts (0..k) or graded (signed)."""
        if self.interval is None:
            return "float"
        if self.interval.within(BINARY):
            return "spikes"
        return "counts" if self.interval.lo >= 0 else "graded"

    def __str__(self) -> str:
        dims = "x".join(map(str, self.shape)) or "scalar"
        return f"{self.kind}[{dims}]" + (f" in {self.interval}" if self.kind in ("counts", "graded") else "")
