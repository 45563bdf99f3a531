"""neurodeploy export: an artefact as a folder for Lava or SANA-FE, a .net file for netx, or a plain ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output


@options.command(
    "export", "Write a folder for Lava or SANA-FE, a .net file for lava-dl's netx, or a copy of the ONNX file."
)
@options.artefact
@click.option("--to", "kind", type=click.Choice(["lava", "netx", "sanafe", "onnx"]), required=True)
@click.option(
    "--output", "-o", "path", required=True, type=click.Path(path_type=Path), help="Folder, or .net or ONNX file."
)
@click.option("--target", metavar="TARGET", help="Of sanafe: a chip by name, or a TOML file; else the compiled one.")
@options.lowering
@click.option(
    "--images", type=click.Path(path_type=Path), help="Of sanafe: place cores by the spikes on these, as map does."
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=options.SAMPLES, show_default=True, help="The first of --images."
)
@click.option("--round-bias", is_flag=True, help="Of netx: round biases to its unit, which makes another network.")
@click.option("--overwrite", is_flag=True, help="Replace a folder that an earlier export wrote.")
def export(
    output: Output,
    artefact: Path,
    kind: str,
    path: Path,
    target: str | None,
    overwrite: bool,
    round_bias: bool,
    **choices: Any,
) -> None:
    """Export ARTEFACT: a folder that runs with lava-nc and NumPy alone or in SANA-FE, a .net file that lava-dl's netx
    runs, or a checked copy of the file.
    """
    from neurodeploy import api
    from neurodeploy.cli.inputs import load_data

    (options.require_file if kind in ("onnx", "netx") else options.require_folder)(path)
    images, limit = choices.pop("images"), choices.pop("limit")
    for name, given in (("--target", target), ("--images", images)):
        if given is not None and kind != "sanafe":
            raise click.UsageError(f"{name} goes with --to sanafe, not with {kind}")
    if round_bias and kind != "netx":
        raise click.UsageError(f"--round-bias goes with --to netx, not with {kind}")
    if kind not in ("lava", "sanafe") and set(choices.values()) != {"auto", "stock", "graded"}:
        raise click.UsageError(f"--attention, --neurons and --residual go with --to lava or sanafe, not with {kind}")
    if kind == "sanafe" and choices.pop("neurons") != "stock":
        raise click.UsageError("--neurons custom goes with --to lava: SANA-FE has no such neurons")
    deployed = api.load(artefact)
    how, more = f"python {path}/run.py --input images.npy --output out.npz", tuple[str, ...]()
    if kind == "lava":
        deployed.export_lava(path, overwrite, **choices)
    elif kind == "netx":
        how, more = _netx(deployed, path, round_bias)
    elif kind == "sanafe":
        samples = None if images is None else load_data(images, limit).images
        _sanafe(output, deployed, path, target, images=samples, overwrite=overwrite, **choices)
    else:
        deployed.save(path)
        how = f"onnxruntime.InferenceSession({str(path)!r})"
    document = {"artefact": str(artefact), "to": kind, "output": str(path), "run": how}
    output.result({**document, "host": [*more]} if more else document, f"wrote {path}", how, *more)


def _netx(deployed: Any, path: Path, round_bias: bool) -> tuple[str, tuple[str, ...]]:
    """How the written file is run, and what the host has to do."""
    from neurodeploy.lava_dl import export_netx

    made = export_netx(deployed, path, round_bias=round_bias)
    if not made.changed:
        return made.network, made.host
    note = f"{made.changed} biases rounded by at most {made.worst} of 64 membrane units: import the file to measure it"
    return made.network, (*made.host, note)


def _sanafe(output: Output, deployed: Any, *given: Any, **choices: Any) -> None:
    """Export; findings that differ in numbers alone are one, as `map` shows them."""
    from neurodeploy.errors import DoesNotFitError
    from neurodeploy.exports import export_sanafe
    from neurodeploy.report.mapping import merged

    try:
        export_sanafe(deployed, *given, **choices)
    except DoesNotFitError as error:
        raise DoesNotFitError(error.findings if output.as_json else merged(error.findings)) from error
