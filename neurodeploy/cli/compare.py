"""neurodeploy compare: all backends give the same integers, or the first divergence is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output
from neurodeploy.errors import BackendsDifferError


@options.command("compare", "All backends give the same integers, or the first divergence.")
@options.artefact
@options.images
@options.limit
@click.option("--backends", default="reference,native,onnx,lava", show_default=True, help="With commas between.")
@options.probes
@options.timeout
def compare(output: Output, artefact: Path, images: Path, limit: int | None, backends: str, **rest: Any) -> None:
    """Compare spikes, membranes and logits of ARTEFACT between backends; exit code 5 where they differ."""
    from neurodeploy import api
    from neurodeploy.cli.inputs import load_data
    from neurodeploy.report import text

    deployed = api.load(artefact)
    data = load_data(images, limit)
    options.note_clipped(output, deployed, data.images)
    names = tuple(name.strip() for name in backends.split(",") if name.strip())
    with output.progress("samples times backends") as progress:
        found = api.compare(
            deployed,
            data.images,
            names,
            options.chosen_probes(rest["probes"], "all"),
            options={"lava": {"timeout": rest["timeout"]}},
            progress=progress,
        )
    document = found.as_json()
    if found.divergence:
        output.fail(document, BackendsDifferError(found.divergence.finding()), text.comparison_table(document))
    output.result(document, text.comparison_table(document))
