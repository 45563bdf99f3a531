"""Where a command's words go: its result to stdout, as tables or one JSON document; everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import click
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from neurodeploy.cli.streams import Clean, clean
from neurodeploy.errors import NeurodeployError, UsageError

WIDE = 240  # columns where there is no terminal to fit


def console(stream: IO[str]) -> Console:
    """A console for a stream: no markup, and off a terminal no colour and no cut lines."""
    width = None if stream.isatty() else WIDE
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


class Output:
    """The two streams of one command."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._stdout = sys.stdout

    def result(self, document: dict[str, Any], *renderables: RenderableType) -> None:
        """Print the result: the document with --json, else what renders it."""
        if self.as_json:
            click.echo(json.dumps(document, indent=2), file=self._stdout)
            return
        for renderable in renderables:
            console(self._stdout).print(Clean(renderable))

    def note(self, text: str) -> None:
        """Say something to the person, on stderr."""
        click.echo(clean(text), err=True)

    def fail(self, document: dict[str, Any], error: NeurodeployError, *renderables: RenderableType) -> None:
        """Print a result that is an error as well, and end the command with the error's exit code."""
        try:
            self.result(document | error.as_json(), *renderables)
        except UsageError as undelivered:
            show_error(undelivered)
        if not self.as_json:
            show_error(error)
        raise click.exceptions.Exit(int(error.exit_code))

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """A bar on stderr while the body runs, on a terminal only; gives progress(done, total)."""
        with self.steps(label) as (_, progress):
            yield progress

    @contextmanager
    def steps(self, label: str) -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
        """A bar as of `progress` for several stages; gives stage(text), which begins anew, and that."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        quiet = not sys.stderr.isatty()
        with Progress(*columns, console=console(sys.stderr), disable=quiet, transient=True) as bar:
            task = bar.add_task(label, total=None)
            yield (
                lambda stage: bar.reset(task, description=stage, total=None, completed=0),
                lambda done, total: bar.update(task, completed=done, total=total),
            )

    @contextmanager
    def stages(self) -> Iterator[Callable[[str], None]]:
        """A line on stderr that names the stage, on a terminal only; gives progress(stage)."""
        column, quiet = TextColumn("{task.description}"), not sys.stderr.isatty()
        with Progress(column, console=console(sys.stderr), disable=quiet, transient=True) as bar:
            task = bar.add_task("load", total=None)
            yield lambda stage: bar.update(task, description=stage, refresh=True)


def show_error(error: NeurodeployError) -> None:
    """All findings of an error, on stderr."""
    for finding in error.findings:
        said = Text.assemble(("error: ", "bold red"), clean(str(finding)))
        console(sys.stderr).print(said, soft_wrap=True)
