"""neurodeploy map: whether a network fits a chip, on how many cores, and what it costs there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output


@options.command("map", "Onto a chip: does it fit, on how many cores, at what price.")
@options.artefact
@click.option("--target", metavar="TARGET", help="A chip by name, or a TOML file; else the one it was compiled for.")
@options.lowering
@click.option(
    "--images", type=click.Path(path_type=Path), help="Measure spikes on these; without, every neuron in every step."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=options.SAMPLES,
    show_default=True,
    help="First samples, for the rates.",
)
@options.sanafe
@click.option("--layers", "every_layer", is_flag=True, help="Show all populations.")
def map_(output: Output, artefact: Path, images: Path | None, limit: int, **rest: Any) -> None:
    """Map ARTEFACT onto a chip: cores, chips, bottleneck, latency, energy. Exit code 4 where it does not fit."""
    from neurodeploy import api
    from neurodeploy.cli.inputs import load_data
    from neurodeploy.errors import DoesNotFitError
    from neurodeploy.report import mapping

    deployed = api.load(artefact)
    samples = None if images is None else load_data(images, limit).images
    if samples is not None:
        options.note_clipped(output, deployed, samples)
    choice = {name: rest[name] for name in ("attention", "neurons", "residual", "sanafe")}
    with output.stages() as stage:
        bill = deployed.map(rest["target"], samples, **choice, progress=stage)
    document = bill.as_json()
    tables = mapping.mapping_tables(document, every_layer=rest["every_layer"])
    if bill.findings:
        found = bill.findings if output.as_json else mapping.merged(bill.findings)
        output.fail(document, DoesNotFitError(found), *tables)
    output.result(document, *tables)
