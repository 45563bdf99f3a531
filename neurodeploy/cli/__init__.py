"""The command line: one small function a command, on top of `neurodeploy.api`."""

from neurodeploy.cli.app import main

__all__ = ["main"]
