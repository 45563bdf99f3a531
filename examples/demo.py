"""Both shipped networks end to end: compile, evaluate, prove all executors equal, simulate in Lava, export.

    python examples/demo.py

Each network is handled by a process of its own, one core each; the figures end in a table and in
build/demo/report.json. The exit code is not 0 where anything differs.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from data import Split, digits
from rich.console import Console

import neurodeploy as nd
from neurodeploy.api import load_model
from neurodeploy.backends import native
from neurodeploy.backends.lava import environment
from neurodeploy.errors import NeurodeployError
from neurodeploy.ir.artefact.files import write_atomic
from neurodeploy.report import text

EXAMPLES = Path(__file__).resolve().parent
CHECKPOINTS = EXAMPLES / "checkpoints"
OUT = EXAMPLES.parent / "build" / "demo"
MODELS = ("qkformer_mnist", "spikformer_mnist")
PROGRAM = Path(sys.executable).with_name("neurodeploy")
PLAIN_DIGITS = 64  # that plain ONNX Runtime is checked on
EXPORTED_DIGITS = 2  # that the exported folder is checked on
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # the networks share the cores

Document = dict[str, Any]


@contextmanager
def step(name: str, what: str) -> Iterator[None]:
    """Say on stderr what begins, and when it is done how long it took."""
    start = time.perf_counter()
    click.echo(f"{name}: {what} ...", err=True)
    yield
    click.echo(f"{name}: {what}: done in {time.perf_counter() - start:.1f} s", err=True)


def handle(name: str, data: Split, simulated: int, out: Path) -> Document:
    """Everything for one network; its figures. Raises `BackendsDifferError` where anything differs."""
    start = time.perf_counter()
    model = load_model(f"neurodeploy.models:{name}", CHECKPOINTS / f"{name}.pth")
    calibration = np.load(CHECKPOINTS / "calibration_mnist.npz")["images"]
    with step(name, f"compile with {len(calibration)} calibration images"):
        deployed = nd.compile(model, calibration[:1], target="loihi2", calibration=calibration, name=name)
        deployed.save(out / f"{name}.onnx")
        deployed = nd.load(out / f"{name}.onnx")
    with step(name, "ONNX checker, and the same logits in plain ONNX Runtime"):
        plain_runtime(out / f"{name}.onnx", deployed, some(data.images, PLAIN_DIGITS))
    with step(name, f"evaluate on {len(data.labels):,} digits"):
        evaluation = nd.evaluate(deployed, data.images, data.labels, float_model=model, threads=1)
    on_cpu = ("reference", *(("native",) if native.available() else ()), "onnx")
    with step(name, f"compare {', '.join(on_cpu)} on {len(data.labels):,} digits"):
        options = {backend: {"threads": 1} for backend in on_cpu[1:]}
        cpu = nd.compare(deployed, data.images, on_cpu, options=options).require_equal()
    stream = some(data.images, simulated)
    with step(name, f"compare reference and lava on {len(stream)} digits back to back"):
        lava = nd.compare(deployed, stream, ("reference", "lava")).require_equal()
    with step(name, "export the Lava folder, and the same logits in its own run"):
        exported_folder(deployed, stream[:EXPORTED_DIGITS], out / f"{name}_lava")
    return {
        "seconds": time.perf_counter() - start,
        "artefact_bytes": (out / f"{name}.onnx").stat().st_size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "network": deployed.describe(),
        "evaluation": evaluation.as_json(),
        "cpu": cpu.as_json(),
        "lava": lava.as_json(),
    }


def some(array: np.ndarray, count: int) -> np.ndarray:
    """So many rows, evenly spread, for the digits are sorted by class."""
    return array[:: max(1, len(array) // count)][:count]


def plain_runtime(path: Path, deployed: nd.CompiledModel, images: np.ndarray) -> None:
    """The file is valid ONNX, and a session that knows nothing of neurodeploy computes the reference's logits."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": images})
    require_same(logits, deployed.run(images).logits, "plain ONNX Runtime")


def exported_folder(deployed: nd.CompiledModel, images: np.ndarray, folder: Path) -> None:
    """The exported folder, run on its own by the Python that has lava-nc, gives the reference's logits."""
    deployed.export_lava(folder, overwrite=True)
    np.save(folder / "images.npy", images)
    command = [str(environment.find().python), "-I", str(folder / "run.py")]
    files = ["--input", str(folder / "images.npy"), "--output", str(folder / "out.npz")]
    subprocess.run([*command, *files], check=True, stdin=subprocess.DEVNULL, cwd=folder)
    with np.load(folder / "out.npz") as result:
        require_same(result["logits"], deployed.run(images).logits, "the exported Lava folder")


def require_same(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """End the program unless all logits are equal."""
    if not np.array_equal(found, wanted):
        raise SystemExit(f"{what} gives other logits in {np.count_nonzero(found != wanted)} of {wanted.size} places")


def summary(report: Document) -> Any:
    """The table that the demo ends with."""
    models = report["models"]
    rows = [[label, *(show(model) for model in models.values())] for label, show in ROWS.items()]
    title = f"neurodeploy {report['neurodeploy']}, target loihi2, {report['seconds']:.0f} s"
    return text.table(title, ("", *(f"{name} #" for name in models)), rows)


def drop(model: Document) -> str:
    """Drop in points with its standard error, which a single digit does not have."""
    points, error = (model["evaluation"][key] for key in ("drop", "drop_error"))
    return f"{points:.2f} points" if error is None else f"{points:.2f} +- {error:.2f} points"


def verdict(comparison: Document) -> str:
    """How many values were compared."""
    count = sum(comparison["values"].values())
    return f"{count:,} values equal" if comparison["equal"] else "DIFFER"


ROWS = {
    "parameters": lambda m: m["parameters"],
    "artefact": lambda m: f"{m['artefact_bytes'] / 1024:,.0f} KiB",
    "digits": lambda m: m["evaluation"]["samples"],
    "float accuracy": lambda m: text.percent(m["evaluation"]["float_accuracy"]),
    "integer accuracy": lambda m: text.percent(m["evaluation"]["integer_accuracy"]),
    "drop": drop,
    "same class": lambda m: text.percent(m["evaluation"]["agreement"]),
    "logit correlation": lambda m: f"{m['evaluation']['correlation']:.4f}",
    "the backends on the CPU": lambda m: (
        f"{' = '.join(m['cpu']['backends'])}: {m['cpu']['samples']:,} digits, {verdict(m['cpu'])}"
    ),
    "reference = lava": lambda m: f"{m['lava']['samples']:,} digits, {verdict(m['lava'])}",
    "LIF neurons": lambda m: m["network"]["neurons"],
    "neurons in Lava": lambda m: m["network"]["mapped"]["neurons"],
    "synapses in Lava": lambda m: m["network"]["mapped"]["synapses"],
    "seconds": lambda m: f"{m['seconds']:.0f}",
}


def in_parallel(limit: int, simulated: int, out: Path) -> int:
    """Handle each network in a process of its own; the worst exit code."""
    words = ["--limit", str(limit), "--simulated", str(simulated), "--out", str(out)]
    command = [sys.executable, __file__, *words, "--only"]
    children = [subprocess.Popen([*command, name], env={**os.environ, **THREADS}) for name in MODELS]
    try:
        return max(abs(child.wait()) for child in children)
    finally:
        for child in children:
            child.terminate()
            child.wait()


@click.command(context_settings={"show_default": True})
@click.option("--limit", type=click.IntRange(min=1), default=5000, help="Digits to evaluate and compare on.")
@click.option("--simulated", type=click.IntRange(min=1), default=64, help="Digits to simulate in Lava.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=OUT)
@click.option("--only", type=click.Choice(MODELS), hidden=True)
def main(limit: int, simulated: int, out: Path, only: str | None) -> None:
    """Compile, evaluate, compare, simulate and export both shipped networks."""
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
    out = out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(EXAMPLES.parent)  # where the project's Lava environment is
    try:
        code = one(only, limit, simulated, out) if only else both(limit, simulated, out)
    except NeurodeployError as error:
        click.echo(str(error), err=True)
        code = int(error.exit_code)
    sys.exit(code)


def one(name: str, limit: int, simulated: int, out: Path) -> int:
    """Handle one network and write its figures."""
    document = handle(name, Split(*(some(array, limit) for array in digits())), simulated, out)
    write_atomic(out / f"{name}.json", json.dumps(document, indent=1).encode())
    return 0


def both(limit: int, simulated: int, out: Path) -> int:
    """Handle both networks, print the table and write the report; the exit code."""
    environment.find()  # a missing Lava is said before the work begins
    start = time.perf_counter()
    code = in_parallel(limit, simulated, out)
    if code == 0:
        models = {name: json.loads((out / f"{name}.json").read_text()) for name in MODELS}
        report = {"neurodeploy": nd.__version__, "seconds": time.perf_counter() - start, "models": models}
        write_atomic(out / "report.json", json.dumps(report, indent=1).encode())
        Console().print(summary(report))
        click.echo(f"wrote {out / 'report.json'}; next: {PROGRAM} inspect {out / MODELS[0]}.onnx")
    return code


if __name__ == "__main__":
    main()
