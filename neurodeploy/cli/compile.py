"""neurodeploy compile: a trained model becomes an artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options, rounding
from neurodeploy.cli.output import Output

CALIBRATION_IMAGES = 256
IMAGES = 4  # axes of images [N, C, H, W]; event frames have five, and integers are right there


@options.command("compile", "A trained PyTorch model becomes an artefact, one ONNX file.")
@click.argument("model", metavar="MODEL")
@options.weights
@options.ema
@click.option(
    "--calibration",
    required=True,
    type=click.Path(path_type=Path),
    help="Images or event frames [N, T, C, H, W] as the model takes them, .npy or .npz; some tens are enough.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=CALIBRATION_IMAGES,
    show_default=True,
    help="Use so many, evenly spread.",
)
@click.option("--output", "-o", "path", required=True, type=click.Path(path_type=Path), help="The ONNX file.")
@click.option("--target", default="loihi2", show_default=True, help="See 'neurodeploy targets list'; or a .toml file.")
@rounding.options
@click.option("--steps", type=int, metavar="T", help="Time steps, for a model that makes none itself.")
@click.option("--name", help="Name of the network; by default the class of the model.")
def compile_(output: Output, model: str, path: Path, **choices: Any) -> None:
    """Compile MODEL, named package.module:factory or file.py:factory, into one ONNX file of integers.

    The factory gives the network; its arguments stand in the name, 'file.py:factory(T=4, num_classes=10)', literals
    only. --weights loads a checkpoint into it.
    """
    options.require_file(path)
    read = {f"--{name}": choices[name] for name in ("calibration", "weights")}
    options.require_apart({"--output": path}, read | {"MODEL": options.model_file(model)})
    bits = rounding.parse_bits(choices["weight_bits"])
    from neurodeploy import api
    from neurodeploy.cli.inputs import load_data
    from neurodeploy.images import spread
    from neurodeploy.maps import narrower_widths
    from neurodeploy.report import text

    images = spread(load_data(choices["calibration"]).images, choices["limit"])
    if images.dtype.kind in "iu" and images.ndim == IMAGES and images.max(initial=0) > 1:
        most = f"note: calibration images are integers up to {images.max()}"
        output.note(f"{most}: give them as the model takes them, which most often is float32 of 0 to 1")
    network, idle = options.load_network(output, model, choices["weights"], choices["ema"])
    with output.stages() as stage:
        deployed = api.compile(
            network,
            images[:1],
            choices["target"],
            calibration=images,
            weight_bits=bits,
            name=choices["name"],
            steps=choices["steps"],
            progress=stage,
            **rounding.chosen(choices),
        )
    deployed.save(path)
    document = {"artefact": str(path), "ignored_keys": [*idle], **deployed.describe(mapped=False)}
    output.result(document, text.network_table(document), text.rounding_brief(document))
    if document["auto"]:
        output.note(_kept(document["auto"]))
    output.note(f"wrote {path}")
    for wide in narrower_widths(deployed, choices["target"]):
        output.note(f"note: {wide}; `neurodeploy map` says all. Fewer --weight-bits make it narrower")


def _kept(auto: dict[str, Any]) -> str:
    """What the bits that `auto` chose keep."""
    if "budget" in auto:
        return f"auto: {auto['bytes']:,} of {auto['budget']:,} bytes of weights"
    lost = f"{auto['lost']:.4g} % of the {auto['samples']} calibration samples that they were rounded for"
    return f"auto: {auto['bytes']:,} bytes of weights; {lost} are of another class, {auto['most_drop']:g} % may be"
