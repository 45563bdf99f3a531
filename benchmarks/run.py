"""Time the executors side by side on the shipped checkpoints: interleaved rounds, medians and minima, CPU seconds.

python benchmarks/run.py [--samples 32] [--rounds 7] [--json build/bench.json]

Every round runs each executor once on the same images, so that what else the machine does falls on all alike. Ratios
are of times in one run; one thread each.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy, torch and onnxruntime read it

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import neurodeploy as nd
from neurodeploy.frontend import load_model, run_float

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

from data import digits  # noqa: E402  (the examples' own module)

MODELS = ("qkformer_mnist", "spikformer_mnist")
BASELINE = "torch float32"


def executors(name: str, images: np.ndarray) -> dict[str, Callable[[], object]]:
    """What is timed: the float model as trained, and the backends on its integer network."""
    model = load_model(f"neurodeploy.models:{name}", ROOT / "examples" / "checkpoints" / f"{name}.pth")
    deployed = nd.compile(model, images[:1], calibration=images)
    return {
        f"{BASELINE} {version('torch')}": lambda: run_float(model, images),
        f"onnx (int8, ONNX Runtime {version('onnxruntime')})": lambda: deployed.run(images, "onnx", threads=1),
        f"reference (int64, NumPy {version('numpy')})": lambda: deployed.run(images, "reference"),
    }


def measure(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of every executor, round by round; one round before that counts for nothing."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn:
                seconds[name].append(time.process_time() - start)
    return seconds


def rows(seconds: dict[str, list[float]], samples: int) -> list[dict[str, object]]:
    """Milliseconds an image and ratios to the first executor."""
    first = next(iter(seconds.values()))
    return [
        {
            "executor": name,
            "median_ms": 1000 * statistics.median(times) / samples,
            "min_ms": 1000 * min(times) / samples,
            "ratio_of_medians": statistics.median(first) / statistics.median(times),
            "ratio_of_minima": min(first) / min(times),
        }
        for name, times in seconds.items()
    ]


@click.command(context_settings={"show_default": True})
@click.option("--samples", type=click.IntRange(min=1), default=32, help="Images a run.")
@click.option("--rounds", type=click.IntRange(min=1), default=7)
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), default=ROOT / "build" / "bench.json")
def main(samples: int, rounds: int, path: Path) -> None:
    """Time the executors and write the figures."""
    torch.set_num_threads(1)
    images = digits().images[:: 5000 // samples][:samples]
    console, results = Console(), {}
    for name in MODELS:
        results[name] = rows(measure(executors(name, images), rounds), samples)
        table = Table(title=f"{name}: CPU ms an image, {samples} images a run, {rounds} rounds, 1 thread")
        for column in results[name][0]:
            table.add_column(column.replace("_", " "), justify="left" if column == "executor" else "right")
        for row in results[name]:
            table.add_row(*(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()))
        console.print(table)
    machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"machine": machine, "samples": samples, "rounds": rounds, "results": results}, indent=2)
    )
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
