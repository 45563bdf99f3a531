"""neurodeploy inspect: what an artefact holds, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output

VIEWS = {
    "layers": "layers_table",
    "bounds": "bounds_table",
    "rounding": "rounding_table",
    "choices": "choices_table",
    "operations": "operations_table",
    "energy": "energy_table",
    "network": "network_table",
}
SAMPLES = 8  # that firing rates are measured on unless --limit says otherwise


@options.command("inspect", "Layers, types, proven bounds, choices, operations and sizes.")
@options.artefact
@click.option("--show", type=click.Choice(tuple(VIEWS)), multiple=True, help="Only this table, can be repeated.")
@click.option("--mapped/--no-mapped", default=True, show_default=True, help="Lower it, and count chip neurons.")
@options.lowering
@click.option(
    "--images", type=click.Path(path_type=Path), help="Measure firing rates on these: SOPs and theoretical energy."
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=SAMPLES, show_default=True, help="First samples, for the rates."
)
@click.option(
    "--mac",
    type=click.Choice(("first", "counts", "all")),
    default="first",
    show_default=True,
    help="Layers counted as MACs: the first (as the papers do), those that read counts too, or all.",
)
def inspect(
    output: Output,
    artefact: Path,
    mapped: bool,
    show: tuple[str, ...],
    images: Path | None,
    limit: int,
    mac: str,
    **choices: Any,
) -> None:
    """Layers, types, proven bounds, the quantizer's choices, operations, theoretical energy and sizes of ARTEFACT."""
    from neurodeploy import api
    from neurodeploy.cli.inputs import load_data
    from neurodeploy.report import text

    deployed = api.load(artefact)
    samples = None if images is None else load_data(images, limit).images
    if samples is not None:
        options.note_clipped(output, deployed, samples)
    with output.progress("measure firing rates") as progress:
        operations = deployed.operations(samples, mac, progress)
    document = deployed.describe(mapped, **choices) | {"operations": operations.as_json()}
    views = [getattr(text, function) for name, function in VIEWS.items() if name in (show or VIEWS)]
    output.result(document, *(view(document) for view in views))
