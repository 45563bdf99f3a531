"""A number of the bill: never alone, always with its unit, how well it is known, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

# Best known first. "counted": exact, from the network and its mapping alone, no constant of the chip in it.
STATUSES = ("counted", "datasheet", "measured", "paper", "assumed", "absent")
# What the network's part rests on: its structure, firing rates of given images, every neuron in every step, or boxes
# around the neurons that are listened to, in place of each of them.
ESTIMATED = "estimated"
BASES = ("structure", "measured", "bound", ESTIMATED)


class Constant(Protocol):
    """A number of a target file, `neurodeploy.targets.Fact`."""

    @property
    def unit(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def value(self) -> Any: ...


class Constants(Protocol):
    """What the bill needs to know of a target: `neurodeploy.targets.Target`."""

    def fact(self, table: str, key: str) -> Constant | None:
        """A number with its source; None where this kind of chip has no such number."""


@dataclass(frozen=True)
class Figure:
    """One number of the bill.

    value: None where a constant that it needs is absent.  status: of the worst constant in it, see STATUSES.
    source: how it comes about, and each constant with its own source.  basis: see BASES.  absent: the constants that
    switch it off.
    """

    name: str
    value: float | int | None
    unit: str
    status: str
    source: str
    basis: str = "structure"
    absent: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The figure as plain data."""
        return asdict(self)


def counted(name: str, value: float, unit: str, source: str, basis: str = "structure") -> Figure:
    """A figure without any constant of the chip."""
    return Figure(name, value, unit, "counted", source, basis)


def missing(name: str, unit: str, source: str, absent: Sequence[str], basis: str = "structure") -> Figure:
    """A figure that is switched off, and by what."""
    return Figure(name, None, unit, "absent", source, basis, tuple(absent))


def computed(
    name: str,
    unit: str,
    chip: Constants,
    keys: Sequence[str],
    formula: str,
    compute: Callable[..., float],
    basis: str = "structure",
) -> Figure:
    """A figure of the chip's constants.

    keys: "table.key" of the target, passed to compute in this order.  formula: said in the source.
    """
    facts = {key: _fact(chip, key) for key in keys}
    gone = absent(chip, keys)
    if gone:
        return missing(name, unit, formula, gone, basis)
    held = [fact for fact in facts.values() if fact is not None]
    status = worst([fact.status for fact in held])
    constants = "; ".join(
        f"{key} {f.value} {f.unit}: {f.status}, {f.source}" for key, f in zip(facts, held, strict=True)
    )
    return Figure(name, compute(*(fact.value for fact in held)), unit, status, f"{formula} [{constants}]", basis)


def absent(chip: Constants, keys: Sequence[str]) -> tuple[str, ...]:
    """The constants that the chip's file has no value for."""
    facts = {key: _fact(chip, key) for key in keys}
    return tuple(key for key, fact in facts.items() if fact is None or fact.value is None)


def _fact(chip: Constants, key: str) -> Constant | None:
    table, _, name = key.partition(".")
    return chip.fact(table, name)


def total(name: str, parts: Sequence[Figure], source: str) -> Figure:
    """The sum of figures of one unit; switched off where one of them is."""
    unit, gone = parts[0].unit, tuple(dict.fromkeys(key for part in parts for key in part.absent))
    basis = weaker(*(part.basis for part in parts))
    values = [part.value for part in parts if part.value is not None]
    if gone or len(values) < len(parts):
        return missing(name, unit, source, gone, basis)
    return Figure(name, sum(values), unit, worst([part.status for part in parts]), source, basis)


def weaker(*bases: str) -> str:
    """The weakest of some bases."""
    return max(bases, key=BASES.index)


def worst(statuses: Sequence[str]) -> str:
    """The least known of some statuses."""
    return max(statuses, key=STATUSES.index, default="counted")
