"""neurodeploy simulate: an artefact as Lava processes, stock ones unless custom neurons are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output
from neurodeploy.cli.run import output_option, show


@options.command("simulate", "Run an artefact as Lava processes.")
@options.artefact
@options.images
@options.limit
@options.probes
@click.option(
    "--runtime",
    type=click.Choice(["inprocess", "multiprocess"]),
    default="inprocess",
    show_default=True,
    help="The stock process models in one process, or Lava's own runtime with a process each (small networks).",
)
@options.lowering
@options.timeout
@output_option
def simulate(output: Output, artefact: Path, images: Path, limit: int | None, path: Path | None, **rest: Any) -> None:
    """Simulate ARTEFACT with Lava, the samples streaming back to back."""
    from neurodeploy import api
    from neurodeploy.cli.inputs import load_data

    if path:
        options.require_file(path)
    deployed = api.load(artefact)
    data = load_data(images, limit)
    options.note_clipped(output, deployed, data.images)
    probes = options.chosen_probes(rest.pop("probes"), "none")
    with output.progress("lava, time steps") as progress:
        result = deployed.run(data.images, "lava", probes, progress=progress, **rest)
    show(output, result, path)
