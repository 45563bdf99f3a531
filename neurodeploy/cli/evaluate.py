"""neurodeploy evaluate: accuracy, and what quantization costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output
from neurodeploy.errors import Finding, UsageError


@options.command("evaluate", "Accuracy, and what quantization costs.")
@options.artefact
@options.images
@click.option("--labels", type=click.Path(path_type=Path), help="Class numbers, .npy; else `labels` in the .npz file.")
@options.limit
@click.option("--model", metavar="MODEL", help="The float model to compare with, named as for compile.")
@options.weights
@options.ema
@click.option(
    "--float-batch",
    type=click.IntRange(min=1),
    metavar="B",
    help="Also run the float model as its code stands, in batches of B.",
)
@options.backend
@click.option("--rate-samples", type=click.IntRange(min=0), default=256, show_default=True, help="For firing rates.")
def evaluate(output: Output, artefact: Path, images: Path, limit: int | None, backend: str, **rest: Any) -> None:
    """Accuracy of ARTEFACT on labelled images; with --model also the drop, the agreement and the correlation."""
    from neurodeploy import api
    from neurodeploy.cli.inputs import load_data, require_labels
    from neurodeploy.report import text

    _require_model(rest)
    backend = options.chosen_backend(output, backend)
    deployed = api.load(artefact)
    data = load_data(images, limit, rest["labels"])
    labels = require_labels(data)
    options.note_clipped(output, deployed, data.images)
    model = options.load_network(output, rest["model"], rest["weights"], rest["ema"])[0] if rest["model"] else None
    with output.progress(backend) as progress:
        found = api.evaluate(
            deployed,
            data.images,
            labels,
            model,
            backend,
            rate_samples=rest["rate_samples"],
            float_batch=rest["float_batch"],
            progress=progress,
        )
    document = found.as_json()
    rates = [text.rates_table(document)] if found.firing_rate else []
    output.result(document, text.evaluation_table(document), *rates)


def _require_model(given: dict[str, Any]) -> None:
    """Refuse options that say something of a float model where there is none. Raises UsageError."""
    idle = [f"--{name.replace('_', '-')}" for name in ("weights", "ema", "float_batch") if given[name]]
    if idle and not given["model"]:
        need, mend = "the float model that these are for", "add --model, as it was named for compile"
        raise UsageError(Finding("ND-C026", "model", need, f"{', '.join(idle)} without --model", mend))
