"""neurodeploy targets: those that are known, and the check of a file for another one."""

from __future__ import annotations

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output


@click.group(short_help="Chips and their numbers.")
def targets() -> None:
    """Chips, and the CPU alone: list them, show every number with its source, check a file."""


@options.command("list", group=targets)
def list_(output: Output) -> None:
    """The targets that come with neurodeploy."""
    from neurodeploy.report import text
    from neurodeploy.targets import available, load_target

    found = [load_target(name) for name in available()]
    document = {"targets": [{"name": t.name, "title": t.title, "profile": t.profile, "file": t.file} for t in found]}
    rows = [tuple(entry.values()) for entry in document["targets"]]
    output.result(document, text.table("Targets", ("name", "target", "arithmetic", "file"), rows))


@options.command("show", group=targets)
@click.argument("name")
def show(output: Output, name: str) -> None:
    """Every number of a target with unit, status and source."""
    from neurodeploy.report import text
    from neurodeploy.targets import load_target

    document = load_target(name).as_json()
    output.result(document, text.target_table(document))


@options.command("check", group=targets)
@click.argument("name", metavar="FILE")
def check(output: Output, name: str) -> None:
    """Check a target file; lists everything that is wrong in it."""
    from neurodeploy.targets import load_target

    target = load_target(name)
    count = sum(map(len, target.facts.values()))
    document = {"ok": True, "name": target.name, "file": target.file, "numbers": count}
    output.result(document, f"{target.file}: {count} numbers, each with unit, source and status")
