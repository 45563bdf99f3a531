"""What few bits cost: models x bits x methods, each row with its standard errors; writes the table of docs/accuracy.md.

make accuracy                                                        everything that needs no training
python -m benchmarks.accuracy --method fine-tuned --mnist PATH      trains: the folder holds MNIST's IDX files
python -m benchmarks.accuracy --model qkformer_mnist --bits 4        a part; build/accuracy.json gathers the rows

Bits are those of all layers but the first and the last, which have 8. Calibration and fine-tuning see training images
alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import neurodeploy as nd
from benchmarks import machine
from benchmarks.networks import ROOT
from neurodeploy.api import load_model
from neurodeploy.errors import NeurodeployError
from neurodeploy.evaluation import evaluate_logits
from neurodeploy.frontend import run_float
from neurodeploy.ir.artefact.files import write_atomic

sys.path.insert(0, str(ROOT / "examples"))
from data import Split, digits, fashion_mnist, held_out_mnist

CHECKPOINTS = ROOT / "examples" / "checkpoints"
DOCUMENT = ROOT / "docs" / "accuracy.md"
BEGIN, END = "<!-- table: make accuracy -->", "<!-- end of table -->"
RESULTS = ROOT / "build" / "accuracy.json"
EDGES = {"first_bits": 8, "last_bits": 8}
CALIBRATION = 256
RESAMPLES = 200  # bootstrap samples of the correlation's standard error
BITS = (8, 6, 4, 3, 2)
MODELS = ("qkformer_mnist", "spikformer_mnist", "qkformer_fashion_mnist")
CONSOLE = Console()
HEADER = (
    "| bits | method | accuracy, % | drop, points | same class, % | logit correlation | membrane error | CPU s |\n"
    "|--:|---|--:|--:|--:|--:|--:|--:|"
)

TUNED = "fine-tuned"
RECIPE: dict[str, Any] = {"teacher": False, "held_out": 0.09}  # all else by default
PASSES = {"qkformer_mnist": 1.0, "spikformer_mnist": 1.6, "qkformer_fashion_mnist": 1.0}  # 14 to 19 CPU minutes

# Each row adds one method to the row above.
METHODS: dict[str, dict[str, Any]] = {
    "nearest": {"rounding": "nearest", "scale": "weight", "bias_correction": False},
    "+ scales by spikes": {"rounding": "nearest", "scale": "spikes", "bias_correction": False},
    "+ compensated rounding": {"rounding": "compensated", "scale": "spikes", "bias_correction": False},
    "+ bias correction": {"rounding": "compensated", "scale": "spikes", "bias_correction": True},
    "+ 4 threshold groups": {
        "rounding": "compensated", "scale": "spikes", "bias_correction": True, "threshold_groups": 4,
    },
}  # fmt: skip
ORDER = [*METHODS, TUNED]


class Task(NamedTuple):
    """A trained network, what it is judged on, and images of its training set to calibrate on."""

    model: Any
    test: Split
    calibration: NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """One line of the table. Points and percent with their standard errors; `error` says why there are no figures.

    membrane: error of the membranes, mean over the layers, in integer steps.  seconds: CPU time of compile, or of the
    fine-tuning.  choices: of the quantizer and the recipe.  commit: of the code that measured it.
    """

    model: str
    bits: int
    method: str
    samples: int = 0
    accuracy: float | None = None
    drop: tuple[float, float] | None = None
    agreement: tuple[float, float] | None = None
    correlation: tuple[float, float] | None = None
    membrane: tuple[float, float] | None = None
    seconds: float | None = None
    error: str = ""
    choices: dict[str, Any] = field(default_factory=dict)
    commit: str = ""


Held = dict[tuple[str, int, str], Row]


@cache
def task(name: str) -> Task:
    """A shipped network with its test set: 5,000 held-out digits, or the 10,000 test images of Fashion-MNIST."""
    model = load_model(f"neurodeploy.models:{name}", CHECKPOINTS / f"{name}.pth")
    if "fashion" in name:
        train = fashion_mnist(part="train").images
        return Task(model, fashion_mnist(), train[:: len(train) // CALIBRATION][:CALIBRATION])
    return Task(model, digits(), np.load(CHECKPOINTS / "calibration_mnist.npz")["images"])


@cache
def float_logits(name: str) -> NDArray[np.float64]:
    """The float model's logits on the test set."""
    return run_float(task(name).model, task(name).test.images)


@cache
def training(name: str, mnist: Path | None) -> Split:
    """The network's training set, without a test image."""
    return fashion_mnist(part="train") if "fashion" in name else held_out_mnist(mnist)[0]


def measure(name: str, bits: int, method: str, mnist: Path | None) -> Row:
    """Compile or train, and judge; what cannot be compiled says why."""
    row, start = Row(name, bits, method, choices=choices_of(name, method), commit=machine.commit()), time.process_time()
    try:
        deployed = tuned(name, bits, training(name, mnist)) if method == TUNED else compiled(name, bits, method)
    except NeurodeployError as error:
        return replace(row, error=error.findings[0].code)
    return judged(deployed, replace(row, seconds=time.process_time() - start))


def choices_of(name: str, method: str) -> dict[str, Any]:
    """What a row asks for beside the bits."""
    return EDGES | (RECIPE | {"epochs": PASSES[name]} if method == TUNED else METHODS[method])


def compiled(name: str, bits: int, method: str) -> nd.CompiledModel:
    """By rounding alone."""
    model, _, images = task(name)
    return nd.compile(model, images[:1], calibration=images, weight_bits=bits, **choices_of(name, method))


def tuned(name: str, bits: int, data: Split) -> nd.CompiledModel:
    """As many passes over the training set as 20 CPU minutes allow, taught by its labels alone."""
    model, columns = task(name).model, (TextColumn(f"{name}, {bits} bits"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=CONSOLE, transient=True) as bar:
        one = bar.add_task("steps", total=None)
        update = lambda done, total: bar.update(one, completed=done, total=total)  # noqa: E731
        return nd.finetune(
            model, data.images, data.labels, progress=update, weight_bits=bits, **choices_of(name, TUNED)
        ).deployed


def judged(deployed: nd.CompiledModel, row: Row) -> Row:
    """The row with its figures on the whole test set."""
    test, real = task(row.model).test, float_logits(row.model)
    integer = deployed.run(test.images).logits
    found = evaluate_logits("auto", integer, test.labels, real)
    same = integer.argmax(axis=1) == real.argmax(axis=1)
    return replace(
        row,
        samples=len(same),
        accuracy=found.integer_accuracy,
        drop=(found.drop, found.drop_error),
        agreement=(found.agreement, 100 * float(same.std(ddof=1) / np.sqrt(len(same)))),
        correlation=(found.correlation, correlation_error(integer.astype(np.float64), real)),
        membrane=membrane_error(deployed),
    )


def correlation_error(integer: NDArray[np.float64], real: NDArray[np.float64]) -> float:
    """Standard error of Pearson's r over all logits, by bootstrap over the samples (Efron 1979), seed 0."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        rows = draw.integers(0, len(real), len(real))
        found.append(np.corrcoef(integer[rows].ravel(), real[rows].ravel())[0, 1])
    return float(np.std(found, ddof=1))


def membrane_error(deployed: nd.CompiledModel) -> tuple[float, float] | None:
    """Mean over the layers of the error that compile reports, and its standard error; None where none is reported."""
    choices = deployed.describe(mapped=False)["choices"]
    each = [choice["membrane_error"] for choice in choices if choice.get("membrane_error") is not None]
    return (float(np.mean(each)), float(np.std(each, ddof=1) / np.sqrt(len(each)))) if len(each) > 1 else None


def rows(asked: Sequence[tuple[str, int, str]], held: Held, mnist: Path | None) -> Iterator[Row]:
    """Every row asked for that the file does not hold yet."""
    for key in asked:
        if key not in held:
            yield measure(*key, mnist)


def gathered(path: Path) -> Held:
    """The rows of earlier runs that asked for the same."""
    held = [Row(**row) for row in json.loads(path.read_text())["rows"]] if path.is_file() else []
    return {(row.model, row.bits, row.method): row for row in held if row.choices == choices_of(row.model, row.method)}


def write(path: Path, held: Held) -> None:
    """All rows, in the order of the table, and what they were taken on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(held.values(), key=lambda row: (row.model, -row.bits, ORDER.index(row.method)))
    document = {"machine": machine.facts(), "rows": [asdict(row) for row in ordered]}
    write_atomic(path, json.dumps(document, indent=1).encode())


def table(held: Held) -> str:
    """The rows as Markdown, one table a network."""
    parts = []
    for name in MODELS:
        lines = [HEADER, *(_line(row) for row in held.values() if row.model == name)]
        parts.append(f"### {name}\n\n" + "\n".join(lines) + "\n")
    return "\n".join([*parts, _measured_by(held)])


def _measured_by(held: Held) -> str:
    """The commits that the rows were measured with."""
    commits = dict[str, set[str]]()
    for row in held.values():
        kind = TUNED if row.method == TUNED else "rounding"
        commits.setdefault(row.commit or "an unknown commit", set()).add(kind)
    said = "; ".join(f"{', '.join(sorted(kinds))} by {commit}" for commit, kinds in sorted(commits.items()))
    return f"Measured with: {said}.\n"


def _line(row: Row) -> str:
    if row.error:
        return f"| {row.bits} | {row.method} | refused: {row.error} | | | | | |"
    pairs = zip((row.drop, row.agreement, row.correlation, row.membrane), (2, 2, 4, 2), strict=True)
    cells = [f"{pair[0]:.{digits}f} ± {pair[1]:.{digits}f}" if pair else "" for pair, digits in pairs]
    return f"| {row.bits} | {row.method} | {row.accuracy:.2f} | {' | '.join(cells)} | {row.seconds:.0f} |"


def write_document(held: Held) -> None:
    """Put the tables between the markers of docs/accuracy.md."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table(held)}\n{END}{after}")


@click.command(context_settings={"show_default": True})
@click.option("--model", "models", multiple=True, type=click.Choice(MODELS), default=MODELS)
@click.option("--bits", multiple=True, type=click.IntRange(2, 8), default=BITS)
@click.option("--method", "methods", multiple=True, type=click.Choice(ORDER), default=[*METHODS])
@click.option("--mnist", type=click.Path(path_type=Path), help="Folder with MNIST's IDX files, to train on.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), default=RESULTS)
@click.option("--document", is_flag=True, help="Write the tables of all rows in the JSON file to docs/accuracy.md.")
def main(mnist: Path | None, path: Path, document: bool, **chosen: Sequence[Any]) -> None:
    """Measure what is asked for and not held yet, row by row."""
    held, asked = gathered(path), list(product(chosen["models"], chosen["bits"], chosen["methods"]))
    if mnist is None and any(method == TUNED and "fashion" not in name for name, _, method in asked):
        raise click.UsageError("fine-tuning needs MNIST's training images: --mnist FOLDER, with the four IDX files")
    for row in rows(asked, held, mnist):
        held[row.model, row.bits, row.method] = row
        write(path, held)
        CONSOLE.print(f"{row.model}: {_line(row)}")
    if document:
        write_document(gathered(path))
    CONSOLE.print(f"written to {path}")


if __name__ == "__main__":
    main()
