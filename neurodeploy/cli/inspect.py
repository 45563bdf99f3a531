"""neurodeploy inspect: what an artefact holds."""

from __future__ import annotations

from pathlib import Path

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output

VIEWS = {"layers": "layers_table", "bounds": "bounds_table", "choices": "choices_table", "network": "network_table"}


@options.command("inspect", "Layers, types, proven bounds, choices and sizes.")
@options.artefact
@click.option("--show", type=click.Choice(tuple(VIEWS)), multiple=True, help="Only this table, can be repeated.")
@click.option("--mapped/--no-mapped", default=True, show_default=True, help="Lower it, and count chip neurons.")
def inspect(output: Output, artefact: Path, mapped: bool, show: tuple[str, ...]) -> None:
    """Layers, types, proven bounds, the quantizer's choices, neurons and synapses of ARTEFACT."""
    from neurodeploy import api
    from neurodeploy.report import text

    document = api.load(artefact).describe(mapped)
    views = [getattr(text, function) for name, function in VIEWS.items() if name in (show or VIEWS)]
    output.result(document, *(view(document) for view in views))
