"""The exception tree. Every error carries findings: code, layer with its source, need, have, next step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line, one a kind of error."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INVALID_FILE = 3
    DOES_NOT_FIT = 4
    DIFFERS = 5
    LIMIT = 6


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in a form that a person can act on.

    code:   stable identifier, `ND-` and a letter for the stage and three digits, e.g. `ND-F004`.
    layer:  module path or value name that it concerns ("" for none), e.g. `stage1.0.tssa.q_lif`.
    source: `file:line` of the layer in the user's code, or the file concerned ("" if unknown).
    need:   what was needed.   have: what there is.   next: what to do next.
    """

    code: str
    layer: str
    need: str
    have: str
    next: str
    source: str = ""

    def __str__(self) -> str:
        place = f" {self.layer}" if self.layer else ""
        place += f" ({self.source})" if self.source else ""
        return f"{self.code}{place}\n  needed: {self.need}\n  found:  {self.have}\n  next:   {self.next}"


class NeurodeployError(Exception):
    """Base of all errors that neurodeploy raises on purpose; `findings` lists everything that is wrong."""

    exit_code: ExitCode = ExitCode.UNEXPECTED

    def __init__(self, findings: Finding | Iterable[Finding]) -> None:
        self.findings: tuple[Finding, ...] = (findings,) if isinstance(findings, Finding) else tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))

    def as_json(self) -> dict[str, object]:
        """The error as plain data, for `--json`."""
        findings = [asdict(finding) for finding in self.findings]
        return {"error": type(self).__name__, "exit_code": int(self.exit_code), "findings": findings}


class UsageError(NeurodeployError):
    """The call itself is wrong: an unknown backend, images of the wrong shape, NaN, an empty array."""

    exit_code = ExitCode.USAGE


class InvalidFileError(NeurodeployError):
    """An artefact, a checkpoint or a data file is missing, damaged, hostile or of another family."""

    exit_code = ExitCode.INVALID_FILE


class UnsupportedModelError(NeurodeployError):
    """The model holds something that cannot be deployed: an unknown neuron, a soft reset, an op without a lowering."""

    exit_code = ExitCode.DOES_NOT_FIT


class DoesNotFitError(NeurodeployError):
    """The network is sound and leaves the widths or the resources of the target."""

    exit_code = ExitCode.DOES_NOT_FIT


class VerifyError(NeurodeployError):
    """A graph breaks the rules of its stage: a bug of a pass, or a damaged artefact."""

    exit_code = ExitCode.INVALID_FILE


class BackendsDifferError(NeurodeployError):
    """Two executors gave different integers: this must never happen."""

    exit_code = ExitCode.DIFFERS


class EnvironmentMissingError(NeurodeployError):
    """Something has to be installed first: Python 3.10, lava-nc, onnxruntime, torch."""

    exit_code = ExitCode.USAGE


class LimitExceededError(NeurodeployError):
    """A time or memory limit was exceeded, or a worker died."""

    exit_code = ExitCode.LIMIT


class Terminated(SystemExit):
    """A signal asked the program to end: no error of whatever ran then, so nothing may turn it into one."""
