"""Train the small networks that the examples ship.

python examples/train.py --model spikformer_mnist --data PATH_TO_MNIST --epochs 1 --out spikformer_mnist.pth
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import click
import torch
from data import Split, fashion_mnist, held_out_mnist
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from spikingjelly.activation_based import functional
from torch import Tensor, nn

from neurodeploy.errors import NeurodeployError
from neurodeploy.models import FACTORIES

BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.01
WARM_UP = 0.15
SHORT = 0.6  # share of the training that runs with two time steps, at half the cost of four


def splits(model: str, data: Path) -> tuple[Split, Split]:
    """Training and test set of a model: MNIST without the held-out digits, or Fashion-MNIST as it is published."""
    if "fashion" in model:
        return fashion_mnist(data, "train"), fashion_mnist(data, "t10k")
    return held_out_mnist(data)


def batches(count: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Indices of `steps` mini-batches; every pass over `count` images shuffles anew and drops a short last batch."""
    generator = torch.Generator().manual_seed(seed)
    whole = count // BATCH
    for step in range(steps):
        if step % whole == 0:
            order = torch.randperm(count, generator=generator)
        yield order[(step % whole) * BATCH : (step % whole + 1) * BATCH]


def optimiser(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW that decays matrices and kernels, and leaves biases and normalisation alone."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE)


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Logits [B, classes]; the membranes start at zero."""
    functional.reset_net(model)
    logits: Tensor = model(images)
    return logits


def set_time_steps(model: nn.Module, steps: int) -> None:
    """Let the network run for `steps` time steps from now on."""
    model.config = dataclasses.replace(model.config, steps=steps)


def accuracy(model: nn.Module, split: Split, batch: int = 250) -> float:
    """Percentage of right answers of the float network in eval mode."""
    model.eval()
    images, labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    with torch.no_grad():
        right = [
            (predict(model, x).argmax(1) == y).sum().item()
            for x, y in zip(images.split(batch), labels.split(batch), strict=True)
        ]
    return 100 * sum(right) / len(labels)


def train(model: nn.Module, split: Split, epochs: float, seed: int) -> None:
    """Cross-entropy, AdamW and OneCycle with 15 % warm-up, in mini-batches of 64; few time steps first, then all."""
    images, labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    steps = math.ceil(epochs * (len(labels) // BATCH))
    optimizer = optimiser(model)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps, pct_start=WARM_UP)
    columns = (TextColumn("loss {task.fields[loss]:.3f}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    all_steps = model.config.steps
    model.train()
    with Progress(*columns) as progress:
        task = progress.add_task("train", total=steps, loss=math.nan)
        for step, index in enumerate(batches(len(labels), steps, seed)):
            set_time_steps(model, 2 if step < SHORT * steps else all_steps)
            loss = nn.functional.cross_entropy(predict(model, images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.update(task, advance=1, loss=loss.item())


@click.command(context_settings={"show_default": True})
@click.option("--model", "name", type=click.Choice(sorted(n for n in FACTORIES if "mnist" in n)), required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder with the IDX files.")
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), default=1.0)
@click.option("--seed", type=int, default=1)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def main(name: str, data: Path, epochs: float, seed: int, out: Path) -> None:
    """Train a network, print its accuracy on the test set, and write {"model": state dict} to a file."""
    try:
        training, test = splits(name, data)
    except NeurodeployError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(training.labels)} training images, {len(test.labels)} test images")
    torch.manual_seed(seed)
    model = FACTORIES[name]()
    train(model, training, epochs, seed)
    click.echo(f"{name}: {accuracy(model, test):.2f} % of {len(test.labels)} test images")
    torch.save({"model": model.state_dict()}, out)


if __name__ == "__main__":
    main()
