"""neurodeploy sensitivity: what each layer loses at fewer bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output

SAMPLES = 64  # `quantize.sensitivity.SAMPLES`, which --help does not load


@options.command("sensitivity", "What each layer of a trained model loses at 8, 6, 4, 3 and 2 bits.")
@click.argument("model", metavar="MODEL")
@options.weights
@options.ema
@click.option("--calibration", required=True, type=click.Path(path_type=Path), help="As of compile.")
@click.option("--limit", type=click.IntRange(1, SAMPLES), default=SAMPLES, show_default=True, help="Use so many.")
@click.option("--target", default="loihi2", show_default=True, help="See 'neurodeploy targets list'; or a .toml file.")
@click.option("--steps", type=int, metavar="T", help="Time steps, for a model that makes none itself.")
def sensitivity(output: Output, model: str, **choices: Any) -> None:
    """Quantize MODEL with one layer at a time at fewer bits, all others at 8, and run it on calibration samples.

    Weights are rounded to the nearest here: what compile makes of fewer bits loses less.
    """
    from neurodeploy import compiling
    from neurodeploy.cli.inputs import load_data
    from neurodeploy.images import spread
    from neurodeploy.report import text

    images = spread(load_data(choices["calibration"]).images, choices["limit"])
    network, _ = options.load_network(output, model, choices["weights"], choices["ema"])
    with output.stages() as stage:
        found = compiling.sensitivity(
            network, images[:1], choices["target"], calibration=images, steps=choices["steps"], progress=stage
        )
    document = {"model": model, "samples": len(images), "layers": found}
    output.result(document, text.sensitivity_table(document))
