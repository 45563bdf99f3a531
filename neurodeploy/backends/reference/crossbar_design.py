"""The crossbar that a target file describes, as it is read here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from neurodeploy.backends.reference.crossbar_cells import Crossbar, Inputs
from neurodeploy.errors import Finding, UsageError
from neurodeploy.targets import Target

Rows = int | Literal["safe", "all"]
_NUMBERS = (
    ("crossbar", "rows"),
    ("crossbar", "columns"),
    ("crossbar", "cell_bits"),
    ("adc", "bits"),
    ("adc", "input_bits"),
)


def designed(
    target: Target, adc_bits: int | None = None, active_rows: Rows = "safe", inputs: Inputs = "bits"
) -> Crossbar:
    """The crossbar of a target, see `crossbar.run`.

    Raises UsageError for a target that has none, one that cannot be read so, or settings that cannot be.
    """
    findings = tuple(_unreadable(target, adc_bits))
    if findings:
        raise UsageError(findings)
    rows, driven = _whole(target, "crossbar", "rows"), target.number("adc", "rows_a_read")
    most = min(rows, int(driven or rows))
    crossbar = Crossbar(
        rows=rows,
        columns=_whole(target, "crossbar", "columns"),
        cell_bits=_whole(target, "crossbar", "cell_bits"),
        adc_bits=_whole(target, "adc", "bits") if adc_bits is None else adc_bits,
        active_rows=most,
        coding="offset" if target.flag("crossbar", "offset") else "differential",
        flips=target.flag("adc", "flips_columns"),
        inputs=inputs,
        input_bits=_whole(target, "adc", "input_bits"),
    )
    _require_cells(target, crossbar)
    chosen = {"safe": min(most, crossbar.safe_rows), "all": most}.get(str(active_rows), active_rows)
    if not isinstance(chosen, int) or not 1 <= chosen <= most:
        need, mend = f"1 to {most} rows of {target.name} in one read", "more adc_bits, or active_rows that may clip"
        raise UsageError(Finding("ND-B063", "active_rows", need, f"{active_rows} = {chosen}", mend, target.file))
    return replace(crossbar, active_rows=chosen)


def _whole(target: Target, table: str, key: str) -> int:
    return int(target.number(table, key) or 0)


def _unreadable(target: Target, adc_bits: int | None) -> Iterator[Finding]:
    """What a target lacks to be a crossbar that ADCs read."""
    if target.kind != "crossbar" or "adc" not in target.facts:
        need, have = "a crossbar with ADCs", f"{target.name}: {target.title}, of kind {target.kind}"
        yield Finding("ND-B062", "target", need, have, "choose one of neurodeploy targets list", target.file)
        return
    for table, key in _NUMBERS:
        if target.number(table, key) is None and not (key == "bits" and adc_bits is not None):
            mend = "give the file a number of your own"
            yield Finding("ND-B062", f"{table}.{key}", "a number", "absent", mend, target.file)


def _require_cells(target: Target, crossbar: Crossbar) -> None:
    """Raise UsageError where the file spreads a weight in another way than the coding that is computed here."""
    held, need = target.cells(crossbar.weight_bits), (1, crossbar.cells)
    if held != need:
        mend = "correct weight_rows, weight_columns or offset in the file"
        wanted = f"{need[1]} columns in 1 row for a weight of {crossbar.weight_bits} bits, coding {crossbar.coding}"
        raise UsageError(Finding("ND-B064", "crossbar.weight_columns", wanted, str(held), mend, target.file))
