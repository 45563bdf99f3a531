"""neurodeploy report: one self-contained HTML page about a compiled network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output
from neurodeploy.errors import DoesNotFitError, Finding, UsageError

COUNTS = {
    "observed": (32, "the reference runs for firing rates, observed intervals, raster and attention"),
    "shown": (6, "are drawn in raster and attention"),
    "compared": (4, "all --backends are compared on"),
}


def counts(function: options.Function) -> options.Function:
    """An option for each number of samples."""
    for name, (default, words) in reversed(COUNTS.items()):
        help_text = f"Samples that {words}."
        function = click.option(
            f"--{name}", type=click.IntRange(min=1), default=default, show_default=True, help=help_text
        )(function)
    return function


@options.command("report", "One self-contained HTML page: accuracy, network, cores, spikes, bounds, attention.")
@options.artefact
@options.images
@click.option("--labels", type=click.Path(path_type=Path), help="Class numbers, .npy; else `labels` in the .npz file.")
@options.spread_limit
@click.option("--output", "-o", "path", required=True, type=click.Path(path_type=Path), help="The HTML file.")
@click.option("--target", metavar="TARGET", help="A chip by name, or a TOML file; else the one it was compiled for.")
@options.lowering
@options.sanafe
@click.option("--model", metavar="MODEL", help="The float model, named as for compile: accuracy drop and agreement.")
@options.weights
@options.ema
@options.backend
@click.option("--backends", default="", help="To compare, with commas between; else those installed, without Lava.")
@counts
@click.option("--date", default="", metavar="TEXT", help="Printed on the page, which has no time of its own.")
def report(output: Output, artefact: Path, images: Path, limit: int | None, path: Path, **rest: Any) -> None:
    """Write one HTML page about ARTEFACT that needs no network and no script. Exit code 4 where it does not fit."""
    options.require_file(path)
    from neurodeploy import api, pages
    from neurodeploy.cli.inputs import load_data, spread_data
    from neurodeploy.ir.artefact.files import write_atomic
    from neurodeploy.report.mapping import merged

    _require_model(rest)
    backend = options.chosen_backend(output, rest["backend"])
    deployed = api.load(artefact)
    data = spread_data(load_data(images, labels=rest["labels"]), limit)
    options.note_clipped(output, deployed, data.images)
    model = options.load_network(output, rest["model"], rest["weights"], rest["ema"])[0] if rest["model"] else None
    backends = tuple(name.strip() for name in rest["backends"].split(",") if name.strip())
    asked = {name: rest[name] for name in (*COUNTS, "target", "date", "attention", "neurons", "residual", "sanafe")}
    with output.progress("samples of all runs") as progress:
        chosen: dict[str, Any] = {"progress": progress, "backend": backend, "backends": backends}
        made = pages.made(deployed, api.compare, data.images, data.labels, model, **chosen, **asked)
    page = made.html.encode()
    write_atomic(path, page)
    output.note(f"wrote {path}, {len(page):,} bytes")
    document = {"output": str(path), "bytes": len(page), "samples": len(data.images), "fits": not made.findings}
    if made.findings:
        output.fail(document, DoesNotFitError(made.findings if output.as_json else merged(made.findings)))
    output.result(document)


def _require_model(given: dict[str, Any]) -> None:
    """Refuse --weights and --ema without --model. Raises UsageError."""
    idle = [f"--{name}" for name in ("weights", "ema") if given[name]]
    if idle and not given["model"]:
        have, mend = f"{', '.join(idle)} without --model", "add --model, as it was named for compile"
        raise UsageError(Finding("ND-C030", "model", "the float model that these are for", have, mend))
