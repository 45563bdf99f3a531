"""neurodeploy targets: those that are known, and the check of a file for another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output

if TYPE_CHECKING:
    from neurodeploy.targets import Target

LIMITS = ("neurons", "synapse_memory", "rows", "columns", "active_rows", "cores", "chips")
_SHORT = {"synapse_memory": "synapse bytes", "active_rows": "active rows"}


@click.group(short_help="Chips and their numbers.")
def targets() -> None:
    """Chips, and the CPU alone: list them, show every number with its source, check a file."""


@options.command("list", group=targets)
def list_(output: Output) -> None:
    """The targets that come with neurodeploy, and the limits of a core or an array of each."""
    from neurodeploy.report import text
    from neurodeploy.targets import available, load_target

    document = {"targets": [_summary(load_target(name)) for name in available()]}
    columns = ("name", "target", "kind", *(f"{_SHORT.get(key, key)} #" for key in LIMITS), "numbers")
    rows = [
        (entry["name"], entry["title"], entry["kind"], *entry["limits"].values(), _said(entry["statuses"]))
        for entry in document["targets"]
    ]
    caption = "of one core or array, cores of a chip, chips of the largest system; -: none, or not known"
    output.result(document, text.table("Targets", columns, rows, caption))


@options.command("show", group=targets)
@click.argument("name", metavar="NAME | FILE")
def show(output: Output, name: str) -> None:
    """Every number of a target with unit, status and source."""
    from neurodeploy.report import text
    from neurodeploy.targets import load_target

    target = load_target(name)
    document = target.as_json() | {"limits": _limits(target), "statuses": _statuses(target)}
    output.result(document, text.target_table(document))
    output.note(f"{target.file}: {_said(document['statuses'])}")


@options.command("check", group=targets)
@click.argument("name", metavar="NAME | FILE")
def check(output: Output, name: str) -> None:
    """Check a target file; lists everything that is wrong in it."""
    from neurodeploy.targets import load_target

    target = load_target(name)
    count = sum(map(len, target.facts.values()))
    document = {"ok": True, "numbers": count, **_summary(target)}
    said = f"{count} numbers, each with unit, source and status ({_said(document['statuses'])})"
    output.result(document, f"{target.file}: {said}")


def _summary(target: Target) -> dict[str, Any]:
    known = {"name": target.name, "title": target.title, "kind": target.kind, "profile": target.profile}
    return {**known, "file": target.file, "limits": _limits(target), "statuses": _statuses(target)}


def _limits(target: Target) -> dict[str, int | None]:
    return {key: target.limit(key) for key in LIMITS}


def _statuses(target: Target) -> dict[str, int]:
    """How many numbers of the target are known how well."""
    from neurodeploy.targets.schema import STATUSES

    found = [fact.status for table in target.facts.values() for fact in table.values()]
    return {status: found.count(status) for status in STATUSES}


def _said(statuses: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in statuses.items() if count)
