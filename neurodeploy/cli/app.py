"""The group of commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

import neurodeploy
from neurodeploy.cli import streams
from neurodeploy.cli.compare import compare
from neurodeploy.cli.compile import compile_
from neurodeploy.cli.doctor import doctor
from neurodeploy.cli.evaluate import evaluate
from neurodeploy.cli.export import export
from neurodeploy.cli.finetune import finetune
from neurodeploy.cli.import_ import import_
from neurodeploy.cli.inspect import inspect
from neurodeploy.cli.lava import lava
from neurodeploy.cli.map import map_
from neurodeploy.cli.output import show_error
from neurodeploy.cli.report import report
from neurodeploy.cli.run import run
from neurodeploy.cli.sensitivity import sensitivity
from neurodeploy.cli.simulate import simulate
from neurodeploy.cli.targets import targets
from neurodeploy.errors import (
    EnvironmentMissingError,
    ExitCode,
    Finding,
    LimitExceededError,
    NeurodeployError,
    Terminated,
    UsageError,
)

INTERRUPTED = 130
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
TRACEBACK = "NEURODEPLOY_TRACEBACK"
COMMANDS = (
    compile_,
    sensitivity,
    finetune,
    run,
    evaluate,
    compare,
    simulate,
    map_,
    report,
    export,
    import_,
    inspect,
    targets,
    lava,
    doctor,
)


class InOrder(click.Group):
    """A group that lists its commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, commands={str(command.name): command for command in COMMANDS})
@click.version_option(neurodeploy.__version__, prog_name="neurodeploy")
def app() -> None:
    """Trained spiking transformers become bit-exact integer networks.

    Exit codes: 0 ok, 1 unexpected, 2 usage, 3 bad input file, 4 does not fit the target, 5 backends differ, 6 a limit
    was exceeded, 130 Ctrl-C.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The program: run a command and exit with its code."""
    streams.guard()
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asks to ignore SIGHUP
            signal.signal(number, _terminated)
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # it warns that a CPU has no Triton
    sys.exit(invoke(sys.argv[1:] if arguments is None else arguments))


def invoke(arguments: Sequence[str]) -> int:
    """Run a command; the exit code. An error is a message, or with --json a document, never a traceback."""
    as_json = "--json" in arguments
    try:
        code = app.main(list(arguments), prog_name="neurodeploy", standalone_mode=False)
        return code if isinstance(code, int) else int(ExitCode.OK)
    except NeurodeployError as error:
        return _report(error, as_json)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError" and not as_json:  # a group alone, click 8.2 and later
            click.echo(error.format_message())
            return int(ExitCode.USAGE)
        return _report(_usage(error), as_json)
    except MemoryError:
        finding = Finding("ND-C011", "", "enough memory", "the system has no more", "use --limit, or fewer --probes")
        return _report(LimitExceededError(finding), as_json)
    except ModuleNotFoundError as error:
        return _missing(error, as_json)
    except Exception as error:  # noqa: BLE001 - the one place that ends the program
        return _unexpected(error, as_json)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """A signal ends the program through its clean-up."""
    raise Terminated(128 + number)


def _report(error: NeurodeployError, as_json: bool) -> int:
    try:
        if as_json:
            click.echo(json.dumps(error.as_json(), indent=2), file=sys.stdout)
            return int(error.exit_code)
    except UsageError as undelivered:
        if undelivered.findings != error.findings:
            show_error(undelivered)
    show_error(error)
    return int(error.exit_code)


def _usage(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "neurodeploy"
    return UsageError(Finding("ND-C010", "", f"a call as {path} --help says", error.format_message(), f"{path} --help"))


def _missing(error: ModuleNotFoundError, as_json: bool) -> int:
    """A package that neurodeploy cannot do without, and that pip has lost."""
    if error.name is None or error.name.startswith("neurodeploy"):
        return _unexpected(error, as_json)
    mend = "pip install --force-reinstall neurodeploy"
    return _report(EnvironmentMissingError(Finding("ND-C014", "", error.name, str(error), mend)), as_json)


def _unexpected(error: Exception, as_json: bool) -> int:
    """A bug, of neurodeploy or of the user's own code: one line, or the traceback where it is asked for."""
    if os.environ.get(TRACEBACK):
        raise error
    have = f"{type(error).__name__}: {error}".splitlines()[0]
    mend = f"set {TRACEBACK}=1 to see where, and report it"
    return _report(NeurodeployError(Finding("ND-C012", "", "no unexpected error", have, mend)), as_json)
