"""Whether a run can go on from what a checkpoint holds: its seal tells damage, yet who makes one can seal anything."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW, beside "step"


def alike(held: object, wanted: Tensor) -> bool:
    """Whether these are finite numbers in memory, of the same shape and width."""
    if not isinstance(held, Tensor) or held.dtype != wanted.dtype or held.shape != wanted.shape:
        return False
    plain = held.layout == torch.strided and held.device.type == "cpu"
    return plain and bool(torch.isfinite(held).all())


def course_problems(held: Mapping[str, Any], steps: int) -> Iterator[str]:
    """What is wrong with step, losses, history and best_entry of a run of so many steps."""
    step, history, best = held["step"], held["history"], held["best_entry"]
    if type(step) is not int or not 0 <= step <= steps:
        yield f"step {step!r:.40} of {steps}"
        return
    if not all(type(loss) is float for loss in held["losses"]):
        yield "losses that are no numbers"
    if not all(map(_is_entry, history)):
        yield "a history of other things than evaluations"
        return
    done = [entry["step"] for entry in history]
    if done != sorted(set(done)) or not all(0 <= last <= step for last in done):
        yield f"evaluations after the steps {done[:8]}, at step {step}"
    if type(best) is not int or not -1 <= best < len(history) or not (best >= 0) == bool(held["best"]) == bool(history):
        yield f"the best of {len(history)} evaluations: {best!r:.40}"


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or entry.keys() | {"loss"} != {"step", "accuracy", "loss"}:
        return False
    return all(type(value) is float for value in entry.values()) and math.isfinite(entry["accuracy"])


def optimizer_problems(held: Mapping[str, Any], optimizer: torch.optim.Optimizer, step: int) -> Iterator[str]:
    """What is wrong with the state of AdamW after so many steps; `optimizer` is the one of the run, at its start."""
    groups, state = held.get("param_groups"), held.get("state")
    if not isinstance(groups, list) or not isinstance(state, dict) or len(held) != len(("state", "param_groups")):
        yield "no state of AdamW"
    elif list(map(_settings, groups)) != list(map(_settings, optimizer.state_dict()["param_groups"])):
        yield "settings of another optimizer"
    else:
        parameters = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
        for index in dict.fromkeys([*state, *(parameters if step else ())]):
            if index not in parameters or not _moments(state.get(index), parameters[index], step):
                yield f"no moments of parameter {index!r:.40}"


def _settings(group: object) -> dict[str, str]:
    """As text, which compares whatever the values are; the rate is set anew in every step."""
    given = group if isinstance(group, dict) else {}
    return {str(key): repr(value) for key, value in given.items() if key != "lr"}


def _moments(entry: object, parameter: Tensor, step: int) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {"step", *MOMENTS}:
        return False
    if not alike(entry["step"], torch.tensor(0.0)) or not 1 <= entry["step"] <= step:
        return False
    return all(alike(entry[name], parameter) for name in MOMENTS) and bool((entry["exp_avg_sq"] >= 0).all())
