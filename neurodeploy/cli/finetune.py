"""neurodeploy finetune: the integers of a network are trained themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options, rounding
from neurodeploy.cli.output import Output
from neurodeploy.errors import UsageError

RECIPE = ("epochs", "batch", "learning_rate", "warm_up", "seed", "distillation", "temperature", "evaluations")
MANY = 100  # held-out samples, below which one right answer is over a point of accuracy
ANY_CLASS = 1 << 63  # how many classes there are is known once the model is traced


@options.command("finetune", "The integers of a model are trained themselves: few bits with less loss.")
@click.argument("model", metavar="MODEL")
@options.weights
@options.ema
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Samples to train on: .npz with labels.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only so many of --data, evenly spread.")
@click.option(
    "--held-out", type=float, default=0.05, show_default=True, help="Share of --data, 5,000 at most, that chooses."
)
@click.option("--test", type=click.Path(path_type=Path), help="Samples to report on in the end, .npz with labels.")
@click.option("--output", "-o", "path", required=True, type=click.Path(path_type=Path), help="The ONNX file.")
@click.option("--target", default="loihi2", show_default=True, help="See 'neurodeploy targets list'; or a .toml file.")
@rounding.options
@click.option("--epochs", type=float, help="Passes over the data, may be a fraction.  [1]")
@click.option("--batch", type=int, help="Samples a step.  [64]")
@click.option("--learning-rate", type=float, help="The largest, as a share of a layer's weights.  [0.005]")
@click.option("--warm-up", type=float, help="Share of the steps in which the rate rises, 0 to 1.  [0.05]")
@click.option("--seed", type=int, help="Of the order of the samples.  [0]")
@click.option(
    "--distillation", type=float, help="Share of the float model in the loss, 0 to 1; 0: labels alone.  [0.5]"
)
@click.option("--temperature", type=float, help="Of the softmax that compares with the float model.  [1]")
@click.option("--evaluations", type=int, help="On what is held out; the last one at the end.  [2]")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Written after evaluations and on Ctrl-C.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Go on from a file that --checkpoint wrote, and write it anew where there is no --checkpoint.",
)
@click.option("--steps", type=int, metavar="T", help="Time steps, for a model that makes none itself.")
@click.option("--name", help="Name of the network; by default the class of the model.")
def finetune(output: Output, model: str, path: Path, **choices: Any) -> None:
    """Train the integers of MODEL, named as for compile, from the weights of its checkpoint.

    Accuracies on the way are those of the deployed network, on what is held out. The artefact is that of the best
    evaluation, the one before any training among them. Without --weight-bits all layers have 4.
    """
    options.require_file(path)
    choices["checkpoint"] = choices["checkpoint"] or choices["resume"]
    if choices["checkpoint"] is not None:
        options.require_file(choices["checkpoint"])
    read = {f"--{name}": choices[name] for name in ("data", "test", "weights")}
    written = {"--output": path, "--checkpoint": choices["checkpoint"]}
    options.require_apart(written, read | {"MODEL": options.model_file(model)})
    asked = {"weight_bits": rounding.parse_bits(choices["weight_bits"] or ("4",)), **rounding.chosen(choices)}
    asked |= {name: choices[name] for name in RECIPE if choices[name] is not None}
    asked |= {name: choices[name] for name in ("held_out", "target", "checkpoint", "resume", "steps", "name")}
    from neurodeploy.report import finetuning, text

    data = _data(choices["data"], "--data", choices["limit"])
    test = None if choices["test"] is None else _data(choices["test"], "--test", None, data.images.shape[1:])
    network, idle = options.load_network(output, model, choices["weights"], choices["ema"])
    _note_few(output, data.labels, asked)
    found = _trained(output, network, data.images, data.labels, asked)
    found.deployed.save(path)
    document = {"artefact": str(path), "ignored_keys": [*idle], "finetuning": found.as_json()}
    tables = [finetuning.finetuning_table(document["finetuning"])]
    if test is not None:
        document["test"] = _tested(output, found.deployed, test, network)
        tables.append(text.evaluation_table(document["test"]))
    output.result(document, *tables)
    output.note(f"wrote {path}")


def _data(path: Path, option: str, limit: int | None, shape: tuple[int, ...] | None = None) -> Any:
    """Samples with labels, of this shape, `limit` of them. Raises UsageError, before the training."""
    from neurodeploy.cli.inputs import Data, load_data, require_labels, spread_data
    from neurodeploy.evaluation import check_labels
    from neurodeploy.images import check_images

    data = load_data(path)
    try:
        if shape is not None:
            check_images(data.images, shape)
        labels = check_labels(require_labels(data, option), len(data.images), ANY_CLASS)
    except UsageError as error:
        raise UsageError(replace(finding, source=str(path)) for finding in error.findings) from None
    return spread_data(Data(data.images, labels), limit)


def _note_few(output: Output, labels: Any, asked: dict[str, Any]) -> None:
    """Say so where the samples that are held out choose badly."""
    from numpy import unique

    from neurodeploy.finetuning import Recipe, divided

    seed = Recipe(**{name: asked[name] for name in RECIPE if name in asked}).seed
    rest, held = (labels[rows] for rows in divided(len(labels), asked["held_out"], seed))
    few, classes = len(held) < MANY, (len(unique(held)), len(unique(rest)))
    if few or classes[0] < classes[1]:
        of = f", of {classes[0]} of {classes[1]} classes," if classes[0] < classes[1] else ""
        output.note(f"note: {len(held)} held-out samples{of} choose: give more samples, or a larger --held-out")


def _trained(output: Output, network: Any, images: Any, labels: Any, asked: dict[str, Any]) -> Any:
    """`nd.finetune` with a bar, and a line an evaluation."""
    from neurodeploy import tuning

    def told(entry: Any) -> None:
        loss = f", loss {entry['loss']:.4f}" if "loss" in entry else ""
        output.note(f"step {entry['step']:.0f}: {entry['accuracy']:.2f} % of the held-out samples{loss}")

    with output.steps("load") as (stage, progress):
        try:
            return tuning.finetune(network, images, labels, stage=stage, progress=progress, evaluated=told, **asked)
        except KeyboardInterrupt:
            if asked["checkpoint"] is not None and asked["checkpoint"].exists():  # none before the first step
                output.note(f"stopped: go on with --resume {asked['checkpoint']}")
            raise


def _tested(output: Output, deployed: Any, test: Any, network: Any) -> dict[str, Any]:
    """Accuracy on samples that had no say, beside the float model's."""
    from neurodeploy import api

    with output.progress("test") as progress:
        found = api.evaluate(deployed, test.images, test.labels, network, rate_samples=0, progress=progress)
    document: dict[str, Any] = found.as_json()
    return document
