"""A second opinion: another simulator's figures of the same placed network, beside the bill's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from neurodeploy.mapping.bill_figures import Figure, worst

Sections = Mapping[str, Sequence[Figure]]
A_SAMPLE = "ours: of a step, times its steps"


@dataclass(frozen=True)
class Row:
    """One figure twice, in the same unit.

    ours, theirs: None where a constant is absent.  ratio: theirs / ours.  status: of each.  note: what differs.
    """

    name: str
    unit: str
    ours: float | None
    ours_status: str
    theirs: float | None
    theirs_status: str
    ratio: float | None
    note: str = ""


@dataclass(frozen=True)
class SecondOpinion:
    """All figures that both have.

    simulator: name and version.  samples: theirs.  same_images, same_cores: whether the bill was measured on the same
    images, and has the same tiles on the same cores.  host: shares of neurons times steps, by kind, that the simulator
    had to be helped with.
    """

    simulator: str
    samples: int
    same_images: bool
    same_cores: bool
    rows: tuple[Row, ...]
    host: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True)
class _Pair:
    """A figure of the simulator, and the bill's that are added up to stand beside it."""

    name: str
    ours: tuple[tuple[str, str], ...]
    a_step: bool = False
    note: str = ""


PARTS = ("synapses", "neurons", "messages")  # of the energy that both have
PAIRS = (
    _Pair("energy a sample", tuple(("energy", part) for part in PARTS), note="ours without static power"),
    *(_Pair(part, (("energy", part),), note="energy") for part in PARTS),
    _Pair("time a step, mean", (("pipeline", "time a step"),), note="ours: work of the busiest core"),
    _Pair("time a sample", (("pipeline", "throughput in time"),), note="ours: 1 / throughput"),
    _Pair("synaptic events", (("traffic", "synaptic events a step"),), True, A_SAMPLE),
    _Pair("messages sent", (("traffic", "messages"), ("traffic", "messages from the host")), True, A_SAMPLE),
    _Pair("neurons that send", (("traffic", "neurons that send a step"),), True, "theirs has the pixels too"),
)
INVERSE = "time a sample"  # ms, of samples/s


def second_opinion(
    sections: Sections, result: Mapping[str, Any], steps: int, own: Mapping[str, str | None]
) -> SecondOpinion:
    """The figures of a result beside those of a bill.

    result: sanafe.json, as `backends.sanafe.result` reads it.  steps: of a sample.  own: digests of the
    "images" that the bill was measured on and of its "cores", None without.
    """
    held = {(title, figure.name): figure for title, found in sections.items() for figure in found}
    theirs = {figure["name"]: figure for figure in result["figures"]}
    rows = tuple(_row(pair, theirs[pair.name], held, steps) for pair in PAIRS if pair.name in theirs)
    told = result["identity"]
    images, cores = (own[key] is not None and told.get(key) == own[key] for key in ("images", "cores"))
    return SecondOpinion(result["simulator"], result["samples"], images, cores, rows, _host(result))


def _row(pair: _Pair, theirs: Mapping[str, Any], held: Mapping[tuple[str, str], Figure], steps: int) -> Row:
    found = [held[key] for key in pair.ours if key in held]
    values = [figure.value for figure in found if figure.value is not None]
    whole = len(values) == len(pair.ours)
    ours = sum(values) * (steps if pair.a_step else 1) if whole else None
    if pair.name == INVERSE:
        ours = 1e3 / ours if ours else None
    ratio = theirs["value"] / ours if ours and theirs["value"] is not None else None
    status = worst([figure.status for figure in found]) if whole else "absent"
    return Row(pair.name, theirs["unit"], ours, status, theirs["value"], theirs["status"], ratio, pair.note)


def _host(result: Mapping[str, Any]) -> dict[str, float]:
    host = result.get("host")
    changed, of = (host.get(key) if isinstance(host, dict) else None for key in ("changed", "of"))
    if not (isinstance(changed, dict) and isinstance(of, dict)):
        return {}
    return {
        str(kind): changed.get(kind, 0) / total
        for kind, total in of.items()
        if isinstance(total, int) and total > 0 and isinstance(changed.get(kind, 0), int)
    }
