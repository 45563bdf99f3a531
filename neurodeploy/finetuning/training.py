"""The training loop: plain PyTorch, the same bytes for the same seed, interrupted and resumed at any step."""

from __future__ import annotations

import copy
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
import torch

from neurodeploy.errors import Finding, InvalidFileError, UsageError
from neurodeploy.finetuning import checkpoint as files
from neurodeploy.finetuning.checkpoint import Checkpoint
from neurodeploy.finetuning.network import IntegerNetwork
from neurodeploy.finetuning.recipe import Recipe
from neurodeploy.finetuning.samples import Samples
from neurodeploy.finetuning.sound import optimizer_problems
from neurodeploy.progress import Progress

Said = Callable[[dict[str, float]], None]
PERCENT = 100.0
BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class Hooks:
    """Where a run reports to. progress(done, total): after each step.  said(entry): after each evaluation.

    checkpoint: file that is written after each evaluation, and where the run is interrupted.
    """

    progress: Progress | None = None
    said: Said | None = None
    checkpoint: Path | None = None


@dataclass
class Training:
    """A run of a recipe on samples; `held_out` are those that choose among the evaluations.

    origin: what tells this run from others, see `Checkpoint`.
    """

    network: IntegerNetwork
    samples: Samples
    held_out: Samples
    recipe: Recipe
    origin: dict[str, str] = field(default_factory=dict)
    hooks: Hooks = field(default_factory=Hooks)

    def __post_init__(self) -> None:
        groups = self.network.groups(self.recipe.learning_rate)
        self.largest = [float(group["lr"]) for group in groups]
        self.optimizer = torch.optim.AdamW(groups, betas=BETAS, weight_decay=0.0)
        self.steps = self.recipe.steps(len(self.samples))
        self.done, self.best, self.best_entry = 0, dict[str, torch.Tensor](), -1
        self.history: list[dict[str, float]] = []
        self.losses: list[float] = []
        self._whole = True  # whether no step is under way

    def resume(self, path: Path) -> None:
        """Go on where a checkpoint of the same run stopped. Raises InvalidFileError."""
        found = files.load(path, self.origin, self.network.state_dict(), self.steps)
        if wrong := [*optimizer_problems(found.optimizer, self.optimizer, found.step)]:
            need, have = f"a state of AdamW after {found.step} steps", "; ".join(wrong[:4])
            raise InvalidFileError(Finding("ND-S023", "optimizer", need, have, "begin anew", str(path)))
        self.optimizer.load_state_dict(found.optimizer)
        self.network.load_state_dict(found.state)
        self.done, self.history = found.step, found.history
        self.best, self.best_entry, self.losses = found.best, found.best_entry, found.losses

    def run(self) -> dict[str, float]:
        """Train to the end; the network is then that of the best evaluation, whose entry is returned.

        Ctrl-C, and KeyboardInterrupt of a hook, end a run between two steps, with a checkpoint where there is a path
        for one; KeyboardInterrupt is raised on. A second Ctrl-C ends it within a step, without.
        """
        if self.done:
            self._saved()  # what cannot be written is told before more work is done
        try:
            with _between_steps() as stopped:
                if self.recipe.due(self.done, self.steps) and self._evaluated_last != self.done:
                    self._evaluated()
                for index in self.recipe.order(len(self.samples), self.done, self.steps):
                    self._step(index)
                    if self.recipe.due(self.done, self.steps):
                        self._evaluated()
                    if self.hooks.progress:
                        self.hooks.progress(self.done, self.steps)
                    if stopped():
                        raise KeyboardInterrupt
        except (KeyboardInterrupt, SystemExit):
            if self._whole:
                self._saved()
            raise
        self.network.load_state_dict(self.best)
        return self.history[self.best_entry]

    @property
    def _evaluated_last(self) -> float:
        """The step of the last evaluation, -1 where there was none."""
        return self.history[-1]["step"] if self.history else -1.0

    def _step(self, index: torch.Tensor) -> None:
        share = self.recipe.rate(self.done, self.steps)
        for group, rate in zip(self.optimizer.param_groups, self.largest, strict=True):
            group["lr"] = rate * share
        rows, teacher = index.numpy(), self.samples.teacher
        logits = self.network(torch.from_numpy(self.samples.images[rows]))
        labels = torch.from_numpy(self.samples.labels[rows])
        wanted = None if teacher is None else torch.from_numpy(teacher[rows])
        loss = self.recipe.loss(logits, labels, wanted)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._require_finite(loss)
        for part in self.network.parameters():
            part.grad = torch.zeros_like(part) if part.grad is None else part.grad  # so that all have moments
        self._whole = False
        self.optimizer.step()
        self.network.project()
        self.done += 1
        self.losses.append(float(loss.detach()))
        self._whole = True

    def _require_finite(self, loss: torch.Tensor) -> None:
        """Raise UsageError where numbers would become NaN, of which no integers can be made."""
        slopes = [part.grad.sum() for part in self.network.parameters() if part.grad is not None]
        if not bool(torch.isfinite(torch.stack([loss.detach(), *slopes]).double()).all()):
            have = f"loss {float(loss.detach()):g} in step {self.done + 1}, or its gradients, beyond floats"
            mend = "a temperature nearer to 1, a smaller learning_rate, or a teacher of smaller logits"
            raise UsageError(Finding("ND-S013", "loss", "finite numbers", have, mend))

    def _evaluated(self) -> None:
        """Accuracy on the held-out samples; the best state is kept, the later one of equals."""
        entry = {"step": float(self.done), "accuracy": accuracy(self.network, self.held_out, self.recipe.batch)}
        self._whole = False
        if self.losses:
            entry["loss"] = float(np.mean(self.losses))
            self.losses.clear()
        self.history.append(entry)
        if self.best_entry < 0 or entry["accuracy"] >= self.history[self.best_entry]["accuracy"]:
            self.best, self.best_entry = copy.deepcopy(self.network.state_dict()), len(self.history) - 1
        self._whole = True
        self._saved()
        if self.hooks.said:
            self.hooks.said(entry)

    def _saved(self) -> None:
        if self.hooks.checkpoint is None:
            return
        state, optimizer = self.network.state_dict(), self.optimizer.state_dict()
        held = (self.losses, self.history, self.best, self.best_entry)
        files.save(Checkpoint(self.origin, self.done, state, optimizer, *held), self.hooks.checkpoint)


def accuracy(network: IntegerNetwork, samples: Samples, batch: int = 64) -> float:
    """Percent of right answers; these are the integers that the deployed network computes."""
    return PERCENT * float((network.logits(samples.images, batch).argmax(axis=1) == samples.labels).mean())


@contextmanager
def _between_steps() -> Iterator[Callable[[], bool]]:
    """Ctrl-C is noted, to be looked at between two steps; a second one is raised at once."""
    noted = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    if threading.current_thread() is not threading.main_thread():
        yield noted.is_set  # only the main thread gets signals
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
