"""neurodeploy lava: the Python 3.10 environment that lava-nc needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output

if TYPE_CHECKING:
    from neurodeploy.backends.lava.environment import LavaEnvironment


@click.group(short_help="The Python 3.10 environment that runs Lava.")
def lava() -> None:
    """The environment in which Lava runs: a Python 3.10 with lava-nc."""


@options.command("setup", group=lava)
@click.option("--path", type=click.Path(path_type=Path), help="Where to make it; by default in the user's cache.")
@click.option(
    "--with-dl",
    is_flag=True,
    help="lava-dl too, with its torch: some 6 GB; less with UV_TORCH_BACKEND=cpu, where uv can.",
)
def setup(output: Output, path: Path | None, with_dl: bool) -> None:
    """Make the environment with uv; one that works is kept as it is.

    --with-dl adds lava-dl 0.6.0, also to an environment that was made without. Only `import` of SLAYER's PyTorch
    modules needs it.
    """
    from neurodeploy.backends.lava import environment

    made = environment.setup(path, output.note, with_dl)
    document = asdict(made) | {"python": str(made.python)}
    output.result(document, f"{_packages(made)} runs on Python {made.version}: {made.python}")


def _packages(found: LavaEnvironment) -> str:
    return f"lava-nc {found.lava}" + (f" with lava-dl {found.lava_dl}" if found.lava_dl else "")


@options.command("status", group=lava)
def status(output: Output) -> None:
    """Say which Python runs Lava, how it was found, and whether it has lava-dl."""
    from neurodeploy.backends.lava import environment

    found = environment.find()
    document = asdict(found) | {"python": str(found.python)}
    words = f"lava-nc {found.lava} on Python {found.version}, NumPy {found.numpy}: {found.python} ({found.origin})"
    lava_dl = f"lava-dl {found.lava_dl}" if found.lava_dl else "no lava-dl (neurodeploy lava setup --with-dl)"
    output.result(document, words, lava_dl)
