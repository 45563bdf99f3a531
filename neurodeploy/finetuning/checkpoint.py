"""Checkpoints of a training run: written whole or not at all, read without executing anything, bit-exact to resume.

A file is a line FORMAT, the SHA-256 of what follows, and that: a file of `torch.save`. PyTorch itself does not notice a
changed number.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurodeploy.errors import Finding, InvalidFileError
from neurodeploy.finetuning.sound import alike, course_problems
from neurodeploy.ir.artefact.files import read_bounded, write_atomic

FORMAT = b"neurodeploy-finetune-2\n"
SEAL = hashlib.sha256().digest_size
LIMIT = 1 << 34  # bytes of a checkpoint
State = dict[str, Tensor]
DAMAGED = (
    *(pickle.UnpicklingError, RuntimeError, ValueError, TypeError, LookupError, EOFError, AttributeError),
    *(ArithmeticError, AssertionError, ImportError, OSError),
)


@dataclass
class Checkpoint:
    """A run after `step` steps.

    origin: what it is a run of, by name: network, data, teacher, recipe; text that has to be equal to resume.
    state: latent numbers.  optimizer: of PyTorch.  losses: of the steps since the last evaluation.
    history: an entry an evaluation, plain data.
    best: the latent numbers of the best evaluation, its place in the history.
    """

    origin: dict[str, str]
    step: int
    state: State
    optimizer: dict[str, Any]
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    best: State = field(default_factory=dict)
    best_entry: int = -1


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write atomically. Raises UsageError where the path cannot be written."""
    buffer = io.BytesIO()
    torch.save(vars(checkpoint), buffer)
    write_atomic(path, sealed(buffer.getvalue()))


def sealed(content: bytes) -> bytes:
    """The file that holds this."""
    return FORMAT + hashlib.sha256(content).digest() + content


def unsealed(data: bytes, path: Path) -> bytes:
    """What a file holds. Raises InvalidFileError where it is another file, or one that was changed."""
    if not data.startswith(FORMAT):
        raise _invalid(path, "ND-S020", f"a checkpoint of format {FORMAT.decode().strip()}", "another file")
    start = len(FORMAT) + SEAL
    if hashlib.sha256(data[start:]).digest() != data[len(FORMAT) : start]:
        raise _invalid(path, "ND-S020", "the bytes that were written, by their SHA-256", "others: the file is damaged")
    return data[start:]


def content(path: Path) -> bytes:
    """What a checkpoint holds. Raises InvalidFileError where it is missing, damaged or another file."""
    return unsealed(read_bounded(path, LIMIT), path)


def load(path: Path, origin: Mapping[str, str], state: Mapping[str, Tensor], steps: int) -> Checkpoint:
    """Read the checkpoint of this run; state: latent numbers of the network that goes on.  steps: of the whole run.

    Raises InvalidFileError for a missing or damaged file, and for one of another run, with all that differs.
    """
    try:
        held = torch.load(io.BytesIO(content(path)), map_location="cpu", weights_only=True)
    except DAMAGED as error:
        have = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise _invalid(path, "ND-S020", "a checkpoint of neurodeploy finetune", have) from None
    if not isinstance(held, dict):
        raise _invalid(path, "ND-S020", "the entries of a checkpoint", type(held).__name__)
    wanted = {name: kind for name, kind in _TYPES.items() if not isinstance(held.get(name), kind)}
    if wanted or held.keys() != _TYPES.keys():
        raise _invalid(path, "ND-S020", f"entries {', '.join(_TYPES)}", f"wrong: {', '.join(wanted) or 'more of them'}")
    found = Checkpoint(**held)
    others = [*_of_another(path, found, origin)]
    if not others and (wrong := [*course_problems(held, steps)]):  # of another run, no steps are those of this one
        raise _invalid(path, "ND-S022", "step, losses and evaluations of one run", "; ".join(wrong), "begin anew")
    if findings := [*others, *_misshapen(path, found, state)]:
        raise InvalidFileError(findings)
    return found


MADE_OF = {
    "network": "model, weight bits, rounding and calibration",
    "output scale": "model, weight bits, rounding and calibration",
    "data": "data, held-out share and seed",
    "held-out data": "data, held-out share and seed",
}
_TYPES = {
    "origin": dict,
    "step": int,
    "state": dict,
    "optimizer": dict,
    "losses": list,
    "history": list,
    "best": dict,
    "best_entry": int,
}


def _of_another(path: Path, found: Checkpoint, origin: Mapping[str, str]) -> Iterator[Finding]:
    for name, text in origin.items():
        if found.origin.get(name) != text:
            have = f"{name} {found.origin.get(name)!s:.200}"
            mend = f"resume with the {MADE_OF.get(name, name)} that it was begun with, or begin anew"
            yield Finding("ND-S021", name, f"a checkpoint of {name} {text:.200}", have, mend, str(path))


def _misshapen(path: Path, found: Checkpoint, state: Mapping[str, Tensor]) -> Iterator[Finding]:
    for kind, held in (("state", found.state), ("best", found.best)):
        if kind == "best" and not held:
            continue
        wrong = sorted(map(str, {*held} ^ {*state})) or [name for name in state if not alike(held[name], state[name])]
        if wrong:
            need, have = "finite numbers of the network's layers and shapes", f"{kind}: {', '.join(wrong[:4])} differ"
            yield Finding("ND-S022", wrong[0], need, have, "begin anew", str(path))


def _invalid(
    path: Path, code: str, need: str, have: str, mend: str = "give the file that --checkpoint wrote"
) -> InvalidFileError:
    return InvalidFileError(Finding(code, "", need, have, mend, str(path)))
