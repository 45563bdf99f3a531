"""neurodeploy evaluate: accuracy, and what quantization costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output
from neurodeploy.errors import Finding, UsageError

INPUTS = ("bits", "repeats")


@options.command("evaluate", "Accuracy, and what quantization costs.")
@options.artefact
@options.images
@click.option("--labels", type=click.Path(path_type=Path), help="Class numbers, .npy; else `labels` in the .npz file.")
@options.spread_limit
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
@click.option("--target", metavar="TARGET", help="Also on crossbars with ADCs: a target by name, or its TOML file.")
@click.option("--adc-bits", metavar="B,...", help="Of --target, with commas between; by default the target's own.")
@click.option(
    "--active-rows", metavar="K,...", help="Of --target, rows a read: numbers, safe, all.  [default: safe,all]"
)
@click.option("--inputs", type=click.Choice(INPUTS), help="Of --target, how counts are read.  [default: bits]")
def evaluate(output: Output, artefact: Path, images: Path, limit: int | None, backend: str, **rest: Any) -> None:
    """Accuracy of ARTEFACT on labelled images; with --model also the drop, the agreement and the correlation.

    With --target accuracy on crossbars, against ADC bits and active rows.
    """
    from neurodeploy import api
    from neurodeploy.cli.inputs import load_data, require_labels, spread_data
    from neurodeploy.report import crossbars, text

    _require_base("model", "a float model", rest, ("weights", "ema", "float_batch"))
    _require_base("target", "a crossbar target", rest, ("adc_bits", "active_rows", "inputs"))
    settings: dict[str, Any] = {name: _listed(rest[name]) for name in ("adc_bits", "active_rows") if rest[name]}
    backend = options.chosen_backend(output, backend)
    deployed = api.load(artefact)
    data = spread_data(load_data(images, labels=rest["labels"]), limit)
    labels = require_labels(data)
    options.note_clipped(output, deployed, data.images)
    model = options.load_network(output, rest["model"], rest["weights"], rest["ema"])[0] if rest["model"] else None
    crossbar: dict[str, Any] = {}
    if rest["target"]:  # first, since it may refuse a setting
        with output.progress(rest["target"]) as progress:
            settings |= {"inputs": rest["inputs"] or INPUTS[0], "backend": backend, "progress": progress}
            on = api.evaluate_crossbar(deployed, data.images, labels, rest["target"], **settings)
        crossbar = {"crossbar": on.as_json()}
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
    cells = crossbars.tables(crossbar["crossbar"]) if crossbar else []
    output.result(document | crossbar, text.evaluation_table(document), *rates, *cells)


def _require_base(base: str, what: str, given: dict[str, Any], own: tuple[str, ...]) -> None:
    """Refuse options that say something of a model or a target where there is none. Raises UsageError."""
    idle = [f"--{name.replace('_', '-')}" for name in own if given[name]]
    if idle and not given[base]:
        mend = "add --model, as it was named for compile" if base == "model" else "add --target"
        raise UsageError(
            Finding("ND-C026", base, f"{what} that these are for", f"{', '.join(idle)} without --{base}", mend)
        )


def _listed(words: str) -> list[int | str]:
    """Numbers, or names, with commas between; what they are good for is said by who takes them."""
    parts = [word.strip() for word in words.split(",") if word.strip()]
    return [int(word) if word.isdecimal() else word for word in parts]
