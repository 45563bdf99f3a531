"""neurodeploy compile: a trained model becomes an artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output
from neurodeploy.errors import Finding, UsageError

CALIBRATION_IMAGES = 256


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
@click.option("--weight-bits", multiple=True, metavar="N | PATTERN=N", help="2 to 8, for all layers or for some.")
@click.option("--steps", type=int, metavar="T", help="Time steps, for a model that makes none itself.")
@click.option("--name", help="Name of the network; by default the class of the model.")
def compile_(output: Output, model: str, path: Path, **choices: Any) -> None:
    """Compile MODEL, named package.module:factory or file.py:factory, into one ONNX file of integers.

    The factory gives the network; its arguments stand in the name, 'file.py:factory(T=4, num_classes=10)', literals
    only. --weights loads a checkpoint into it.
    """
    options.require_file(path)
    bits = parse_bits(choices["weight_bits"])
    from neurodeploy import api
    from neurodeploy.cli.inputs import load_data
    from neurodeploy.report import text

    given = load_data(choices["calibration"]).images
    images = given[:: max(1, len(given) // choices["limit"])][: choices["limit"]]  # data is often sorted by class
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
        )
    deployed.save(path)
    document = {"artefact": str(path), "ignored_keys": [*idle], **deployed.describe(mapped=False)}
    output.result(document, text.network_table(document), text.choices_table(document))
    output.note(f"wrote {path}")


def parse_bits(given: tuple[str, ...]) -> int | dict[str, int]:
    """--weight-bits: one number, or patterns of layers with a number each, 8 for the layers that none matches.

    Raises UsageError with every one that cannot be read.
    """
    pairs = [(pattern or "*", bits) for pattern, _, bits in (text.rpartition("=") for text in given)]
    wrong = [text for text, (_, bits) in zip(given, pairs, strict=True) if not bits.isdecimal()]
    if wrong:
        need, mend = "N, or PATTERN=N", "for example --weight-bits 8 --weight-bits 'stage1.*=4'"
        raise UsageError(Finding("ND-C006", "--weight-bits", need, text, mend) for text in wrong)
    patterns = {pattern: int(bits) for pattern, bits in pairs}
    everywhere = patterns.pop("*", 8)
    return {**patterns, "*": everywhere} if patterns else everywhere
