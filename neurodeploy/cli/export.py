"""neurodeploy export: an artefact as a folder for Lava or SANA-FE, or as a plain ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output


@options.command("export", "Write a folder for Lava or SANA-FE, or a copy of the ONNX file.")
@options.artefact
@click.option("--to", "kind", type=click.Choice(["lava", "sanafe", "onnx"]), required=True)
@click.option("--output", "-o", "path", required=True, type=click.Path(path_type=Path), help="Folder, or ONNX file.")
@click.option("--target", metavar="TARGET", help="Of sanafe: a chip by name, or a TOML file; else the compiled one.")
@options.lowering
@click.option("--overwrite", is_flag=True, help="Replace a folder that an earlier export wrote.")
def export(
    output: Output, artefact: Path, kind: str, path: Path, target: str | None, overwrite: bool, **choices: Any
) -> None:
    """Export ARTEFACT: a folder that runs with lava-nc and NumPy alone or in SANA-FE, or a checked copy of the file."""
    from neurodeploy import api

    (options.require_file if kind == "onnx" else options.require_folder)(path)
    if target is not None and kind != "sanafe":
        raise click.UsageError(f"--target goes with --to sanafe, not with {kind}")
    if kind != "lava" and set(choices.values()) != {"auto", "stock", "graded"}:
        raise click.UsageError(f"--attention, --neurons and --residual go with --to lava, not with {kind}")
    deployed = api.load(artefact)
    how = f"python {path}/run.py --input images.npy --output out.npz"
    if kind == "lava":
        deployed.export_lava(path, overwrite, **choices)
    elif kind == "sanafe":
        from neurodeploy.exports import export_sanafe

        export_sanafe(deployed, path, target, overwrite=overwrite)
    else:
        deployed.save(path)
        how = f"onnxruntime.InferenceSession({str(path)!r})"
    output.result({"artefact": str(artefact), "to": kind, "output": str(path), "run": how}, f"wrote {path}", how)
