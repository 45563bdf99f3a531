"""neurodeploy lava: the Python 3.10 environment that lava-nc needs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from neurodeploy.cli import options
from neurodeploy.cli.output import Output


@click.group(short_help="The Python 3.10 environment that runs Lava.")
def lava() -> None:
    """The environment in which Lava runs: a Python 3.10 with lava-nc."""


@options.command("setup", group=lava)
@click.option("--path", type=click.Path(path_type=Path), help="Where to make it; by default in the user's cache.")
def setup(output: Output, path: Path | None) -> None:
    """Make the environment with uv; one that works is kept as it is."""
    from neurodeploy.backends.lava import environment

    made = environment.setup(path, output.note)
    document = asdict(made) | {"python": str(made.python)}
    output.result(document, f"lava-nc {made.lava} runs on Python {made.version}: {made.python}")


@options.command("status", group=lava)
def status(output: Output) -> None:
    """Say which Python runs Lava, and how it was found."""
    from neurodeploy.backends.lava import environment

    found = environment.find()
    document = asdict(found) | {"python": str(found.python)}
    words = f"lava-nc {found.lava} on Python {found.version}, NumPy {found.numpy}: {found.python} ({found.origin})"
    output.result(document, words)
