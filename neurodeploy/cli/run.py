"""neurodeploy run: classes and logits of an artefact."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output

if TYPE_CHECKING:
    from neurodeploy.backends.result import RunResult


def output_option(function: options.Function) -> options.Function:
    """--output FILE.npz of a run."""
    help_text = "Write logits, classes, spikes/<layer> and membrane/<layer> to a .npz file."
    return click.option("--output", "-o", "path", type=click.Path(path_type=Path), help=help_text)(function)


@options.command("run", "Classes, logits and probes of an artefact.")
@options.artefact
@options.images
@options.limit
@options.backend
@options.probes
@output_option
def run(output: Output, artefact: Path, images: Path, limit: int | None, backend: str, **rest: Any) -> None:
    """Run images through ARTEFACT."""
    from neurodeploy import api
    from neurodeploy.cli.inputs import load_data

    if rest["path"]:
        options.require_file(rest["path"])
    backend = options.chosen_backend(output, backend)
    deployed = api.load(artefact)
    data = load_data(images, limit)
    options.note_clipped(output, deployed, data.images)
    with output.progress(backend) as progress:
        probes = options.chosen_probes(rest["probes"], "none")
        result = deployed.run(data.images, backend, probes, progress=progress)
    show(output, result, rest["path"])


def show(output: Output, result: RunResult, path: Path | None) -> None:
    """Write a run where it is asked for, and print it."""
    from neurodeploy.report import text

    if path:
        save(result, path)
        output.note(f"wrote {path}")
    document = {
        "backend": result.backend,
        "samples": len(result.logits),
        "seconds": result.seconds,
        "classes": result.classes.tolist(),
        "logits": result.logits.tolist(),
        "scale": result.scale,
        "layers": list(result.spikes),
        "output": str(path or ""),
    }
    output.result(document, text.run_table(document))


def save(result: RunResult, path: Path) -> None:
    """Write a run to a .npz file, atomically. Raises UsageError where the path cannot be written."""
    import numpy as np

    from neurodeploy.ir.artefact.files import write_atomic

    arrays: dict[str, Any] = {"logits": result.logits, "classes": result.classes, "scale": np.float64(result.scale)}
    arrays |= {f"spikes/{name}": array for name, array in result.spikes.items()}
    arrays |= {f"membrane/{name}": array for name, array in result.membrane.items()}
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    write_atomic(path, packed.getvalue())
