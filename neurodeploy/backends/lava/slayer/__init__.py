"""Networks of SLAYER's PyTorch modules: exported by SLAYER itself, in a worker where lava-dl is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurodeploy.backends.lava import environment, worker
from neurodeploy.backends.lava.scratch import scratch_folder
from neurodeploy.errors import Finding, InvalidFileError, LimitExceededError, UnsupportedModelError, UsageError
from neurodeploy.ir.artefact.files import read_bounded

CHILD = Path(__file__).parent / "child.py"
ERRORS = {"model": UnsupportedModelError, "file": InvalidFileError, "usage": UsageError}  # the first that applies
CODES = {"model": "ND-L012", "file": "ND-L008", "usage": "ND-L007"}
MAX_RESULT = 1 << 24  # bytes


@dataclass(frozen=True)
class Exported:
    """A .net file in a folder that will be removed. names: /layer/3 -> module path.  python: one that has h5py."""

    file: Path
    names: Mapping[str, str]
    notices: tuple[str, ...]
    python: Path


@contextmanager
def exported(
    spec: str, shape: tuple[int, ...], weights: Path | None = None, timeout: float | None = 600
) -> Iterator[Exported]:
    """The .net file that SLAYER's export_hdf5 writes of a network.

    spec: `file.py:factory` or `package.module:factory`, from the working directory; it runs in the Lava environment.
    shape: of its input, [C, H, W] or [features], without time.  weights: a checkpoint, read as tensors alone.
    Raises EnvironmentMissingError without lava-dl, UsageError (spec, shape), InvalidFileError (checkpoint),
    UnsupportedModelError with every block that is none of CUBA, LimitExceededError on the time limit.
    """
    found = environment.find(with_dl=True)
    if weights is not None and not weights.is_file():
        raise InvalidFileError(Finding("ND-L008", "", "a checkpoint", "no such file", "check the path", str(weights)))
    with scratch_folder() as scratch:
        given = [f"--shape={'x'.join(map(str, shape))}", f"--folder={Path.cwd()}"]
        given += [f"--weights={weights.absolute()}"] if weights else []
        worker.execute(found.python, [str(CHILD), spec, *given], scratch, timeout, None)
        yield _result(scratch, spec, found.python)


def _result(scratch: Path, spec: str, python: Path) -> Exported:
    """What the worker found; the factory ran in it and may have written anything, or a pipe."""
    try:
        said = json.loads(read_bounded(scratch / "result.json", MAX_RESULT))
        blocks, notices = _texts(said["blocks"]), tuple(_texts(said["notices"]))
        problems = [_problem(*_texts(entry), spec=spec) for entry in said["problems"]]
        if len(set(blocks)) < len(blocks):
            raise ValueError("a block twice")
    except (InvalidFileError, ValueError, LookupError, TypeError, RecursionError) as error:
        have = error.findings[0].have if isinstance(error, InvalidFileError) else f"{type(error).__name__}: {error}"
        mend = "call the factory in the Lava Python to see what it does"
        raise LimitExceededError(Finding("ND-L007", "", "a result of the export", have, mend, spec)) from error
    if problems:
        kinds = {kind for kind, _ in problems}
        raise next(error for kind, error in ERRORS.items() if kind in kinds)(finding for _, finding in problems)
    names = {f"/layer/{place}": name for place, name in enumerate(blocks)}
    return Exported(scratch / "network.net", names, notices, python)


def _texts(given: object) -> list[str]:
    """A list of texts, with "?" for lone surrogates, which no file takes. Raises TypeError."""
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise TypeError("no list of texts")
    return [text.encode(errors="replace").decode() for text in given]


def _problem(kind: str, layer: str, need: str, have: str, mend: str, *, spec: str) -> tuple[str, Finding]:
    """A problem that the worker names, and its kind."""
    return kind, Finding(CODES[kind], layer, need, have, mend, spec)
