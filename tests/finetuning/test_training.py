"""A run: the same bytes for the same seed, resumed as if nothing had happened; bad checkpoints are named."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurodeploy.errors import InvalidFileError, UsageError
from neurodeploy.finetuning import Hooks, IntegerNetwork, Recipe, Samples, Training, check_teacher, checkpoint
from neurodeploy.ir.identity import identity
from neurodeploy.quantize import QuantizeOptions, quantize_exactly
from tests.traced_graphs import FAMILIES, pictures

COUNT, CLASSES = 40, 3
RECIPE = Recipe(epochs=2, batch=8, learning_rate=0.05, evaluations=3)
ORIGIN = {"network": "this one"}


def samples(seed: int = 0) -> Samples:
    teacher = np.random.default_rng(seed).normal(size=(COUNT, CLASSES)).astype(np.float32)
    return Samples(pictures(COUNT), np.arange(COUNT) % CLASSES, teacher)


@cache
def quantized() -> Any:
    return quantize_exactly(FAMILIES["qkformer"](), pictures(8), QuantizeOptions(weight_bits=4))


def started(hooks: Hooks | None = None, recipe: Recipe = RECIPE) -> Training:
    given, chooser = samples().split(0.2, recipe.seed)
    return Training(IntegerNetwork(*quantized()), given, chooser, recipe, dict(ORIGIN), hooks or Hooks())


def result(run: Training) -> tuple[Any, ...]:
    best = run.run()
    held = {name: value.clone() for name, value in run.network.state_dict().items()}
    return best, run.history, identity(run.network.integer_graph()), held


def require_same(a: tuple[Any, ...], b: tuple[Any, ...]) -> None:
    assert a[:3] == b[:3]
    assert all(torch.equal(a[3][name], b[3][name]) for name in a[3])


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    first = result(started())
    require_same(first, result(started()))
    other = result(started(recipe=replace(RECIPE, seed=1)))
    assert other[1] != first[1]


def test_the_network_is_that_of_the_best_evaluation() -> None:
    run = started()
    best = run.run()
    steps = [entry["step"] for entry in run.history]
    assert steps == [0.0, 3.0, 5.0, 8.0]
    assert best["accuracy"] == max(entry["accuracy"] for entry in run.history)
    chooser = run.held_out
    found = run.network.logits(chooser.images).argmax(axis=1) == chooser.labels
    assert 100 * found.mean() == best["accuracy"]


@pytest.mark.parametrize("stop", [1, 3, 4, 7])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        started(Hooks(progress=stopping(stop), checkpoint=path)).run()
    again = started()
    again.resume(path)
    assert again.done == stop
    require_same(result(again), result(started()))


def stopping(after: int) -> Callable[[int, int], None]:
    def stop(done: int, total: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    return stop


def test_a_run_that_stops_within_an_evaluation_makes_up_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, run = tmp_path / "run.ckpt", started(Hooks(checkpoint=tmp_path / "run.ckpt"))
    logits, calls = run.network.logits, list[int]()

    def interrupted(*given: Any) -> Any:
        calls.append(run.done)
        if calls == [0, 3]:
            raise SystemExit(143)
        return logits(*given)

    monkeypatch.setattr(run.network, "logits", interrupted)
    with pytest.raises(SystemExit):
        run.run()
    again = started()
    again.resume(path)
    assert (again.done, len(again.history)) == (3, 1)
    require_same(result(again), result(started()))


def test_a_finished_run_resumes_to_its_result(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    first = result(started(Hooks(checkpoint=path)))
    again = started()
    again.resume(path)
    require_same(result(again), first)


def test_a_resumed_run_whose_checkpoint_cannot_be_written_is_refused_before_its_next_step(
    written: Path, tmp_path: Path
) -> None:
    steps = list[int]()
    again = started(Hooks(lambda done, total: steps.append(done), checkpoint=tmp_path / "none" / "run.ckpt"))
    again.resume(written)
    with pytest.raises(UsageError):
        again.run()
    assert steps == []


def test_ctrl_c_ends_a_run_between_two_steps(tmp_path: Path) -> None:
    path, seen = tmp_path / "run.ckpt", []

    def interrupt(done: int, total: int) -> None:
        seen.append(done)
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        started(Hooks(progress=interrupt, checkpoint=path)).run()
    assert seen == [1, 2]
    assert signal.getsignal(signal.SIGINT) is before
    again = started()
    again.resume(path)
    require_same(result(again), result(started()))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        started(Hooks(progress=stopping(1), checkpoint=path)).run()
    return path


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("hostile",)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def _text(path: Path) -> None:
    path.write_text("no checkpoint")


def _hostile(path: Path) -> None:
    _seal({"state": Hostile()}, path)


def _seal(content: object, path: Path) -> None:
    """A file as whoever means harm would make it: sealed."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(checkpoint.sealed(buffer.getvalue()))


def _held(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(io.BytesIO(checkpoint.unsealed(path.read_bytes(), path)), weights_only=True)
    return found


def _flipped(path: Path) -> None:
    """One bit of a number, which PyTorch itself does not notice."""
    data, name = bytearray(path.read_bytes()), next(iter(_held(path)["state"]))
    place = bytes(data).index(_held(path)["state"][name].numpy().tobytes())
    data[place] ^= 1
    path.write_bytes(data)


def _changed(**entries: Any) -> Callable[[Path], None]:
    return lambda path: _seal(_held(path) | entries, path)


def _numbers(make: Callable[[torch.Tensor], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        held = _held(path)
        name, value = next(iter(held["state"].items()))
        held["state"][name] = make(value)
        _seal(held, path)

    return change


def _optimizer(part: str, key: str, value: object) -> Callable[[Path], None]:
    """Another value in the first of the param_groups, or in the state of the first parameter."""

    def change(path: Path) -> None:
        held = _held(path)
        held["optimizer"][part][0][key] = value
        _seal(held, path)

    return change


def _optimizer_state(damage: Callable[[dict[int, Any]], object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        held = _held(path)
        damage(held["optimizer"]["state"])
        _seal(held, path)

    return change


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda path: path.unlink(), "ND-A002"),
    "cut": (_cut, "ND-S020"),
    "text": (_text, "ND-S020"),
    "code": (_hostile, "ND-S020"),
    "entries": (_changed(step="many"), "ND-S020"),
    "more entries": (_changed(more=1), "ND-S020"),
    "a bit": (_flipped, "ND-S020"),
    "a list": (lambda path: _seal([1], path), "ND-S020"),
    "another network": (_changed(origin={"network": "that one"}), "ND-S021"),
    "no numbers": (_changed(state={}), "ND-S022"),
    "nan": (_numbers(lambda value: value * torch.nan), "ND-S022"),
    "sparse": (_numbers(lambda value: value.to_sparse()), "ND-S022"),
    "without numbers": (_numbers(lambda value: value.to("meta")), "ND-S022"),
    "names": (_changed(state={1: 2}), "ND-S022"),
    "before the first step": (_changed(step=-1), "ND-S022"),
    "after the last step": (_changed(step=99), "ND-S022"),
    "a step of truth": (_changed(step=True), "ND-S022"),
    "losses": (_changed(losses=["x"]), "ND-S022"),
    "entries of a history": (_changed(history=[{"step": "x", "accuracy": "y"}]), "ND-S022"),
    "history": (_changed(history=[{"step": 5.0, "accuracy": 1.0}]), "ND-S022"),
    "no history": (_changed(history=[]), "ND-S022"),
    "best": (_changed(best_entry=7), "ND-S022"),
    "no best": (_changed(best={}), "ND-S022"),
    "betas": (_optimizer("param_groups", "betas", None), "ND-S023"),
    "amsgrad": (_optimizer("param_groups", "amsgrad", True), "ND-S023"),
    "moments": (_optimizer("state", "exp_avg", torch.zeros(2)), "ND-S023"),
    "moments of nothing": (_optimizer("state", "exp_avg_sq", None), "ND-S023"),
    "no moments": (_optimizer_state(lambda state: state.clear()), "ND-S023"),
    "moments of some": (_optimizer_state(lambda state: state.pop(0)), "ND-S023"),
    "steps of the optimizer": (_optimizer("state", "step", torch.tensor(-1.0)), "ND-S023"),
    "optimizer": (_changed(optimizer={"state": {}, "param_groups": []}), "ND-S023"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_checkpoint_that_is_none_is_named(
    kind: str, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, (damage, code) = tmp_path / "run.ckpt", DAMAGES[kind]
    path.write_bytes(written.read_bytes())
    damage(path)
    run = started()
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    with pytest.raises(InvalidFileError) as caught:
        run.resume(path)
    assert {finding.code for finding in caught.value.findings} == {code}
    assert not (tmp_path / "hostile").exists()
    assert all(torch.equal(before[name], value) for name, value in run.network.state_dict().items())


def test_a_loss_beyond_floats_is_named() -> None:
    run = started()
    run.recipe = Recipe(temperature=1e-38, batch=10)
    run.samples = run.samples.taught(
        np.arange(len(run.samples)), np.full((len(run.samples), CLASSES), 1e38, np.float32)
    )
    with pytest.raises(UsageError, match="ND-S013"):
        run.run()
    assert all(bool(torch.isfinite(part).all()) for part in run.network.parameters())


def test_wrong_choices_are_named_all_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Recipe(epochs=0, batch=0, learning_rate=float("nan"), distillation=2, seed=-1, evaluations=True)
    names = {finding.layer for finding in caught.value.findings}
    assert names == {"epochs", "batch", "learning_rate", "distillation", "seed", "evaluations"}


@pytest.mark.parametrize("share", [0, 1, -0.5, 2])
def test_a_share_that_leaves_nothing_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="ND-S011"):
        samples().split(share, 0)


def test_split_parts_are_disjoint_and_whole() -> None:
    given = samples()
    rest, held = given.split(0.25, 3)
    assert (len(rest), len(held)) == (30, 10)
    both = np.concatenate([rest.images, held.images]).reshape(COUNT, -1)
    assert sorted(map(bytes, both)) == sorted(map(bytes, given.images.reshape(COUNT, -1)))


def test_every_pass_sees_each_sample_once_and_the_next_one_in_another_order() -> None:
    recipe = Recipe(epochs=2, batch=10)
    order = [index.tolist() for index in recipe.order(COUNT, 0, recipe.steps(COUNT))]
    first, second = [*chain(*order[:4])], [*chain(*order[4:])]
    assert sorted(first) == sorted(second) == list(range(COUNT))
    assert first != second
    assert [index.tolist() for index in recipe.order(COUNT, 3, 8)] == order[3:]


def test_a_short_run_asks_its_teacher_about_what_it_sees_alone() -> None:
    recipe = Recipe(epochs=0.5, batch=10)
    assert len(samples().seen(recipe)) == 20
    with pytest.raises(UsageError, match="ND-S012"):
        check_teacher(np.zeros((COUNT, CLASSES + 1)), COUNT, CLASSES)


def test_evaluations_are_spread_over_the_steps_and_are_never_more() -> None:
    for steps in (1, 2, 3, 7, 60, 61):
        for evaluations in range(1, 2 * steps + 2):
            found = [done for done in range(steps + 1) if Recipe(evaluations=evaluations).due(done, steps)]
            assert found == sorted({round(part * steps / evaluations) for part in range(evaluations + 1)})
            assert len(found) == min(evaluations, steps) + 1
    assert Recipe(evaluations=1 << 39).due(3, 7)  # at once


def test_learning_rate_rises_and_falls_to_nothing() -> None:
    recipe = Recipe(warm_up=0.1)
    rates = [recipe.rate(step, 100) for step in range(101)]
    assert max(rates) == rates[9]
    assert 0 < rates[0] < 0.11
    assert rates[100] == 0


def test_loss_is_cross_entropy_without_a_teacher_and_least_where_it_agrees_with_one() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    hard = torch.nn.functional.cross_entropy(logits, labels)
    assert torch.equal(RECIPE.loss(logits, labels, None), hard)
    assert torch.allclose(RECIPE.loss(logits, labels, logits), hard / 2)
