"""Figures of rounds, the JSON document that gathers them, and the tables of docs/performance.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clock import Seconds
from benchmarks.networks import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- tables: make bench -->", "<!-- end of tables -->"
BASE = "native"
COLUMNS = (
    "peer", "precision", "CPU, median", "CPU, min", "native is faster, medians", "minima", "wall, median", "wall, min",
    "from the float logits", "peak MB", "load, s", "first run, s", "version",
)  # fmt: skip
SHORT = ("peer", "precision", "CPU, median", "CPU, min", "minima", "wall, min", "from the float logits", "version")
LEFT = ("peer", "precision", "version")


def figures(seconds: Sequence[Seconds]) -> dict[str, Any]:
    """Milliseconds an image: median, minimum and every round, of CPU and wall time."""
    rounds = {name: [1000 * pair[i] for pair in seconds] for i, name in enumerate(("cpu_ms", "wall_ms"))}
    return {
        name: {"median": statistics.median(taken), "min": min(taken), "rounds": taken} for name, taken in rounds.items()
    }


def distance(logits: NDArray[Any], wanted: NDArray[Any]) -> dict[str, float]:
    """How far a peer's logits are from the float model's: the largest difference, beside the largest logit."""
    return {
        "difference": float(np.abs(logits - wanted).max()),
        "largest_logit": float(np.abs(wanted).max()),
        "correlation": float(np.corrcoef(logits.ravel(), wanted.ravel())[0, 1]),
    }


def ratios(measured: Mapping[str, dict[str, Any]]) -> None:
    """Add how many times as much CPU time as the native backend each peer takes, where that was measured."""
    base = measured.get(BASE, {}).get("cpu_ms")
    for found in measured.values():
        if base and "cpu_ms" in found:
            found["ratio"] = {name: found["cpu_ms"][name] / base[name] for name in ("median", "min")}


def gathered(path: Path) -> list[dict[str, Any]]:
    """The runs that the file holds, if there is one. Raises ValueError for a file of another kind."""
    held = json.loads(path.read_text()) if path.is_file() else []
    if not isinstance(held, list):
        raise ValueError(f"{path} holds no runs: remove it, or name another file")
    return held


def merge(path: Path, runs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write runs beside those of other networks, batches and threads that the file holds; all of them, in order."""
    held = {(run["network"], run["batch"], run["threads"]): run for run in [*gathered(path), *runs]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(held.values()), indent=1) + "\n")
    return list(held.values())


def title(run: Mapping[str, Any]) -> str:
    """Network, batch and threads of a run."""
    threads = "1 thread" if run["threads"] == 1 else f"{run['threads']} threads"
    return f"{run['network']}, batch {run['batch']:,}, {threads}"


def rows(run: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The cells of every peer; one that was not measured says why in place of its figures."""
    return [_row(found) for found in run["peers"].values()]


def _row(found: Mapping[str, Any]) -> tuple[str, ...]:
    name = found["label"], found["precision"]
    if "absent" in found:
        return (*name, *("",) * (len(COLUMNS) - 3), found["absent"])
    cpu, wall, ratio = found["cpu_ms"], found["wall_ms"], found.get("ratio")
    faster = (f"{ratio['median']:.2f}x", f"{ratio['min']:.2f}x") if ratio else ("", "")
    times = (*_ms(cpu), *faster, *_ms(wall))
    far = f"{found['difference']:.2g} of {found['largest_logit']:.2g}"
    return (
        *name, *times, far, f"{found['peak_bytes'] / 1e6:,.0f}", f"{found['load_s']:.1f}", f"{found['first_s']:.1f}",
        found["runtime"],
    )  # fmt: skip


def _ms(taken: Mapping[str, float]) -> tuple[str, str]:
    return f"{taken['median']:,.4g}", f"{taken['min']:,.4g}"


def markdown(runs: Sequence[Mapping[str, Any]]) -> str:
    """Every run as a table under its heading, and what it was taken on."""
    rule = "|" + "|".join("---" if column in LEFT else "--:" for column in COLUMNS) + "|"
    parts = []
    for run in runs:
        lines = [_line(COLUMNS), rule, *(_line(row) for row in rows(run))]
        parts.append(f"### {title(run)}\n\n{_conditions(run)}\n\n" + "\n".join(lines) + "\n")
    return "\n" + "\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _conditions(run: Mapping[str, Any]) -> str:
    machine = run["machine"]
    return (
        f"{run['rounds']} rounds; milliseconds an image; {run['weights']}. {machine['processor']} "
        f"({', '.join(machine['extensions'])}), {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"Python {machine['python']}; load {machine['load']} before and {run['load_after']} after ({machine['time']})."
    )


def write_document(runs: Sequence[Mapping[str, Any]]) -> None:
    """Put the tables between the markers of docs/performance.md."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(before + BEGIN + "\n" + markdown(runs) + "\n" + END + after)
