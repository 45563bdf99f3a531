"""neurodeploy inspect: what an artefact holds."""

from __future__ import annotations

from pathlib import Path

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output


@options.command("inspect", "Layers, types, proven bounds, choices and sizes.")
@options.artefact
@click.option("--mapped/--no-mapped", default=True, show_default=True, help="Lower it, and count chip neurons.")
def inspect(output: Output, artefact: Path, mapped: bool) -> None:
    """Layers, types, proven bounds, the quantizer's choices, neurons and synapses of ARTEFACT."""
    from neurodeploy import api
    from neurodeploy.report import text

    document = api.load(artefact).describe(mapped)
    views = (text.layers_table, text.bounds_table, text.choices_table, text.network_table)
    output.result(document, *(view(document) for view in views))
