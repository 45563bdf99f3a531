"""The command line: one small function a command, on top of `neurodeploy.api`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The program: run a command and exit with its code."""
    try:
        from neurodeploy.cli import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("neurodeploy"):
            raise
        sys.stderr.write(f"error: {error}\n  next:   pip install --force-reinstall neurodeploy\n")
        sys.exit(USAGE)
    app.main(arguments)
