"""Checkpoints of a training run: written whole or not at all, read without executing anything, bit-exact to resume."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurodeploy.errors import Finding, InvalidFileError
from neurodeploy.ir.artefact.files import read_bounded, write_atomic

FORMAT = "neurodeploy-finetune-1"
LIMIT = 1 << 34  # bytes of a checkpoint
State = dict[str, Tensor]
DAMAGED = (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, KeyError, EOFError, IndexError, AttributeError)


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
    torch.save({"format": FORMAT, **vars(checkpoint)}, buffer)
    write_atomic(path, buffer.getvalue())


def load(path: Path, origin: Mapping[str, str], state: Mapping[str, Tensor]) -> Checkpoint:
    """Read the checkpoint of this run; state: latent numbers of the network that goes on.

    Raises InvalidFileError for a missing or damaged file, and for one of another run, with all that differs.
    """
    data = read_bounded(path, LIMIT)
    try:
        held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except DAMAGED as error:
        have = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise _invalid(path, "ND-S020", "a checkpoint of neurodeploy finetune", have) from None
    if not isinstance(held, dict) or held.pop("format", None) != FORMAT:
        raise _invalid(path, "ND-S020", f"a checkpoint of format {FORMAT}", "another file of torch.save")
    wanted = {name: kind for name, kind in _TYPES.items() if not isinstance(held.get(name), kind)}
    if wanted or held.keys() != _TYPES.keys():
        raise _invalid(path, "ND-S020", f"entries {', '.join(_TYPES)}", f"wrong: {', '.join(wanted) or 'more of them'}")
    found = Checkpoint(**held)
    if findings := [*_of_another(path, found, origin), *_misshapen(path, found, state)]:
        raise InvalidFileError(findings)
    return found


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
            mend = "resume with the network, data and options that it was begun with, or begin anew"
            yield Finding("ND-S021", name, f"a checkpoint of {name} {text:.200}", have, mend, str(path))


def _misshapen(path: Path, found: Checkpoint, state: Mapping[str, Tensor]) -> Iterator[Finding]:
    for kind, held in (("state", found.state), ("best", found.best)):
        if kind == "best" and not held:
            continue
        wrong = sorted({*held} ^ {*state}) or [name for name in state if not _alike(held[name], state[name])]
        if wrong:
            need, have = "finite numbers of the network's layers and shapes", f"{kind}: {', '.join(wrong[:4])} differ"
            yield Finding("ND-S022", wrong[0], need, have, "begin anew", str(path))


def _alike(held: object, wanted: Tensor) -> bool:
    if not isinstance(held, Tensor) or held.dtype != wanted.dtype or held.shape != wanted.shape:
        return False
    return bool(torch.isfinite(held).all())


def _invalid(path: Path, code: str, need: str, have: str) -> InvalidFileError:
    return InvalidFileError(Finding(code, "", need, have, "give the file that --checkpoint wrote", str(path)))
