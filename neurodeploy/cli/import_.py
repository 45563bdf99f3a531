"""neurodeploy import: a network of lava-dl becomes an artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output
from neurodeploy.errors import Finding, UsageError


@options.command("import", "A network of lava-dl becomes an artefact: a .net file, or SLAYER's PyTorch modules.")
@click.argument("source", metavar="FILE.net | MODEL")
@click.option("--steps", type=int, metavar="T", help="Time steps of a sample; a file of `export --to netx` says it.")
@click.option("--output", "-o", "path", required=True, type=click.Path(path_type=Path), help="The ONNX file.")
@click.option("--weights", type=click.Path(path_type=Path), help="Of MODEL: its state_dict; read as tensors alone.")
@click.option("--input-shape", "shape", metavar="CxHxW", help="Of MODEL, and of a file without an input layer; or N.")
@click.option(
    "--semantics",
    type=click.Choice(["netx", "slayer"]),
    help="What netx executes (default of a file), or what SLAYER trained (default of MODEL); they differ in bugs.",
)
@click.option(
    "--input",
    "kind",
    type=click.Choice(["events", "image"]),
    help="Frames [N, T, C, H, W], one a step (default), or an image that stays.",
)
@click.option("--input-message-bits", type=int, help="As of netx.Network; 0 (default): spikes.")
@click.option("--input-range", type=float, nargs=2, metavar="LO HI", help="Of graded inputs; by default all of 8 bits.")
@options.timeout
def import_(output: Output, source: str, path: Path, **given: Any) -> None:
    """Import a network of lava-dl with its integers: FILE.net of SLAYER's export_hdf5, or MODEL, which is named
    package.module:factory or file.py:factory and is exported by SLAYER itself (neurodeploy lava setup --with-dl).

    The logits are the spikes of the last layer counted over T.
    """
    options.require_file(path)
    from neurodeploy import lava_dl
    from neurodeploy.report import text

    asked = {
        "events": given["kind"] and given["kind"] == "events",
        "input_message_bits": given["input_message_bits"],
        "input_range": given["input_range"],
        "semantics": given["semantics"],
    }
    choices = {name: value for name, value in asked.items() if value is not None}  # a file of ours says the others
    shape, of_model = _shape(given["shape"]), {name: given[name] for name in ("weights", "timeout") if given[name]}
    if _is_model(source):
        if given["steps"] is None:
            raise _usage("--steps", "T, the time steps of a sample", "give --steps")
        if shape is None:
            raise _usage("--input-shape", "the shape of what the network takes", "--input-shape 2x34x34")
        deployed = lava_dl.load_slayer(source, given["steps"], shape, **of_model, **choices)
    else:
        for name, value in of_model.items():
            raise _usage(f"--{name}", "a MODEL, file.py:factory", "leave it out: it is not for a .net file", str(value))
        deployed = lava_dl.load_netx(source, given["steps"], input_shape=shape, **choices)
    deployed.save(path)
    notices = [*lava_dl.notices(deployed)]
    for notice in notices:
        output.note(f"note: {notice}")
    document = {"artefact": str(path), "notices": notices, **deployed.describe(mapped=False)}
    output.result(document, text.network_table(document))
    output.note(f"wrote {path}")


def _is_model(source: str) -> bool:
    try:
        return ":" in source and not Path(source).exists()
    except OSError:  # longer than any path
        return True


def _shape(given: str | None) -> tuple[int, ...] | None:
    """--input-shape as numbers. Raises UsageError."""
    if given is None:
        return None
    parts = given.lower().split("x")
    if not all(part.isdecimal() and len(part) < 9 for part in parts):
        raise _usage("--input-shape", "sizes with x between them", "for example --input-shape 2x34x34", given)
    return tuple(map(int, parts))


def _usage(option: str, need: str, mend: str, have: str = "none") -> UsageError:
    return UsageError(Finding("ND-L013", option, need, have, mend))
