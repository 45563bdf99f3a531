"""neurodeploy export: an artefact as a Lava folder or as a plain ONNX file."""

from __future__ import annotations

from pathlib import Path

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output


@options.command("export", "Write a Lava folder, or a copy of the ONNX file.")
@options.artefact
@click.option("--to", "kind", type=click.Choice(["lava", "onnx"]), required=True)
@click.option("--output", "-o", "path", required=True, type=click.Path(path_type=Path), help="Folder, or ONNX file.")
@click.option("--overwrite", is_flag=True, help="Replace a folder that an earlier export wrote.")
def export(output: Output, artefact: Path, kind: str, path: Path, overwrite: bool) -> None:
    """Export ARTEFACT: a folder that runs with lava-nc and NumPy alone, or a checked copy of the ONNX file."""
    from neurodeploy import api

    (options.require_folder if kind == "lava" else options.require_file)(path)
    deployed = api.load(artefact)
    if kind == "lava":
        deployed.export_lava(path, overwrite)
        how = f"python {path}/run.py --input images.npy --output out.npz"
    else:
        deployed.save(path)
        how = f"onnxruntime.InferenceSession({str(path)!r})"
    output.result({"artefact": str(artefact), "to": kind, "output": str(path), "run": how}, f"wrote {path}", how)
