"""The float run gives the logits of lone samples, and leaves the model as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from neurodeploy.frontend import floats, run_float
from tests.frontend.small import STEPS, Net, lively, tiny_qkformer


def images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 1, size, size), dtype=np.float32) * 2


class Leaky(Net):
    """The neuron reads [T*B, C, H, W]: its membrane runs from sample to sample."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x.repeat(STEPS, 1, 1, 1)))
        y = self.lif(y).unflatten(0, (STEPS, -1))
        return self.head(y.flatten(3).mean(3)).mean(0)


def test_batches_do_not_matter() -> None:
    model, data, ticks = tiny_qkformer().double(), images(14, 8), []
    whole = run_float(model, data, progress=lambda done, total: ticks.append((done, total)))
    parts = run_float(model, data, batch=3)
    assert whole.shape == (14, 3)
    assert np.allclose(whole, parts, atol=1e-12)
    assert ticks == [(14, 14)]
    assert len({tuple(row) for row in np.round(whole, 6)}) > 1


def test_a_model_that_mixes_samples_runs_them_one_by_one() -> None:
    model, data = lively(Leaky()), images(12, 4)
    alone = np.concatenate([run_float(model, data[i : i + 1]) for i in range(12)])
    assert np.array_equal(run_float(model, data), alone)


def test_samples_are_seen_to_mix_even_where_the_first_ones_are_silent() -> None:
    model, data = lively(Leaky()), images(12, 4)
    with torch.no_grad():
        model.bn.bias -= 1
    data[:2] = 0
    alone = np.concatenate([run_float(model, data[i : i + 1]) for i in range(12)])
    assert np.array_equal(run_float(model, data), alone)
    assert not np.array_equal(alone[0], alone[-1])


def test_logits_of_a_type_that_numpy_lacks() -> None:
    model, data = lively(Net()).bfloat16(), images(3, 4)
    logits = run_float(model, data)
    with torch.no_grad():
        model.lif.reset()
        assert np.array_equal(logits, model(torch.tensor(data).bfloat16()).float().numpy())


def test_flags_and_membranes_are_restored() -> None:
    model = tiny_qkformer()
    model(torch.rand(2, 1, 8, 8))
    model.stage1.train()
    membrane = model.stage1[0].tssa.q_lif.v.clone()
    run_float(model, images(3, 8))
    assert torch.equal(model.stage1[0].tssa.q_lif.v, membrane)
    assert model.stage1[0].tssa.training
    assert not model.training


def test_a_batch_is_no_larger_than_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widest neuron reads float32 [T, B, 4, 4, 4]; the logits are the same whatever the batch."""
    model, data, sizes = lively(Net()).double(), images(14, 4), []
    whole = run_float(model, data)
    model.register_forward_pre_hook(lambda module, arguments: sizes.append(len(arguments[0])))
    monkeypatch.setattr(floats, "MEMORY", 3 * STEPS * 64 * 4)
    assert np.allclose(run_float(model, data), whole, atol=1e-12)
    assert sizes == [1, 3, 3, 3, 3, 3, 3, 3, 2]
    sizes.clear()
    run_float(model, data, 5, as_written=True)
    assert sizes == [5, 5, 4]


def test_as_written_mixes_the_samples_of_a_batch() -> None:
    model, data = lively(Leaky()), images(12, 4)
    with torch.no_grad():
        model.lif.reset()
        first = model(torch.tensor(data[:4])).numpy()
    mixed = run_float(model, data, 4, as_written=True)
    assert np.array_equal(mixed[:4], first)
    assert not np.array_equal(mixed, run_float(model, data))


class Across(Net):
    """Attention over the tokens of all samples, [T, B * N, C]: every neuron reads [T, B, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        steps = x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)
        y = self.lif(self.bn(self.conv(steps.flatten(0, 1))).unflatten(0, (STEPS, -1)))
        tokens = y.flatten(3).transpose(2, 3).flatten(1, 2)
        mixed = tokens @ (tokens.transpose(1, 2) @ tokens) / tokens.shape[2]
        return self.head(mixed.view(STEPS, len(x), -1, tokens.shape[2]).mean(2)).mean(0)


class Masked(Net):
    """What one sample shows is masked by the sum of all: the same whatever their order."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x.repeat(STEPS, 1, 1, 1))).unflatten(0, (STEPS, -1))
        y = self.lif(y + y.sum(1, keepdim=True))
        return self.head(y.flatten(3).mean(3)).mean(0)


class Swapped(Net):
    """[T * B, ...] read as [B, T, ...]: the time steps of one sample come from others."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x.repeat(STEPS, 1, 1, 1)))
        y = self.lif(y.view(len(x), STEPS, *y.shape[1:]).transpose(0, 1))
        return self.head(y.flatten(3).mean(3)).mean(0)


class Alone(Net):
    """Written for one sample at a time."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.lif(self.bn(self.conv(x.repeat(STEPS, 1, 1, 1))).view(STEPS, 1, 4, 4, 4))
        return self.head(y.flatten(3).mean(3)).mean(0)


@pytest.mark.parametrize("kind", [Across, Masked, Swapped, Alone])
def test_samples_that_mix_behind_the_neurons_run_one_by_one(kind: type[Net], caplog: pytest.LogCaptureFixture) -> None:
    model, data = lively(kind()), images(12, 4)
    alone = np.concatenate([run_float(model, data[i : i + 1]) for i in range(12)])
    assert not caplog.records
    assert np.array_equal(run_float(model, data), alone)
    assert "one by one" in caplog.text


@pytest.mark.parametrize("model", [lively(Net()), tiny_qkformer()])
def test_what_does_not_mix_is_not_said_to_mix(model: torch.nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    run_float(model, images(70, 8 if model.__class__ is not Net else 4))
    assert not caplog.records


def test_attributes_that_forward_sets_are_as_before() -> None:
    model = lively(tiny_qkformer())
    model.register_forward_hook(lambda module, *_: setattr(module, "seen", getattr(module, "seen", 0) + 1))
    model.seen, model.training = 7, True
    run_float(model, images(2, 8))
    assert (model.seen, model.training) == (7, True)


def test_buffers_that_forward_or_reset_write_are_as_before() -> None:
    model = lively(tiny_qkformer())
    model.register_buffer("seen", torch.full((3,), 7.0))
    model.register_forward_hook(lambda module, *_: module.seen.add_(1))
    model.reset = model.seen.zero_
    run_float(model, images(2, 8))
    assert torch.equal(model.seen, torch.full((3,), 7.0))
