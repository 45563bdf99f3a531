"""The standard streams of the program: closed, full or left by their reader, they cause no traceback.

What goes to stdout is the result: a command that cannot deliver it fails. What goes to stderr is for a person: where
nobody can read it, the exit code remains.
"""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import suppress
from typing import TextIO, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

from neurodeploy.errors import Finding, UsageError

BROKEN_PIPE = 141  # 128 + SIGPIPE: how a shell sees a program that its reader has left
# What a terminal obeys, and what turns the direction of text; line ends and tabs stay.
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Results(io.TextIOWrapper):
    """stdout: a write raises UsageError, or ends the program with BROKEN_PIPE once its reader is gone."""

    broken = ""  # why it takes nothing more

    def write(self, text: str) -> int:
        try:
            if not self.broken:
                return super().write(text)
        except BrokenPipeError:
            self.broken = "its reader has left"
            sys.exit(BROKEN_PIPE)
        except OSError as error:
            self.broken = error.strerror or str(error)
        mend = "redirect it to a file on a disk that has room"
        raise UsageError(Finding("ND-C013", "stdout", "a stream that takes the result", self.broken, mend))

    def flush(self) -> None:
        """Nothing: every line is flushed as it is written, and what broke then is no new error at the end."""


class Messages(io.TextIOWrapper):
    """stderr: a write that fails is silent."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what was written without a line end."""
        with suppress(OSError):
            super().flush()


Stream = TypeVar("Stream", Results, Messages)


def guard() -> None:
    """Put the tolerant streams in place of those that Python made."""
    for number in range(3):
        _require_open(number)
    out, err = _stream(Results, 1, sys.stdout), _stream(Messages, 2, sys.stderr)
    out.broken = "" if sys.stdout else "it is closed"
    sys.stdout, sys.stderr = out, err


def _require_open(number: int) -> None:
    """Occupy the number of a closed stream: the next file to be opened would become the stream."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDONLY)


def _stream(kind: type[Stream], number: int, made: TextIO | None) -> Stream:
    raw = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
    encoding = made.encoding if made else "utf-8"
    return kind(raw, encoding, "backslashreplace", line_buffering=True, write_through=True)


def clean(text: str) -> str:
    """The text without what a terminal obeys."""
    return OBEYED.sub("", text)


class Clean:
    """A renderable whose text is clean; its own colours stay."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)
