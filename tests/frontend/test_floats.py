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
    model, data, ticks = tiny_qkformer().double(), images(7, 8), []
    whole = run_float(model, data, progress=lambda done, total: ticks.append((done, total)))
    parts = run_float(model, data, batch=3)
    assert whole.shape == (7, 3)
    assert np.allclose(whole, parts, atol=1e-12)
    assert ticks == [(7, 7)]
    assert len({tuple(row) for row in np.round(whole, 6)}) > 1


def test_a_model_that_mixes_samples_runs_them_one_by_one() -> None:
    model, data = lively(Leaky()), images(5, 4)
    alone = np.concatenate([run_float(model, data[i : i + 1]) for i in range(5)])
    assert np.array_equal(run_float(model, data), alone)


def test_samples_are_seen_to_mix_even_where_the_first_ones_are_silent() -> None:
    model, data = lively(Leaky()), images(6, 4)
    with torch.no_grad():
        model.bn.bias -= 1
    data[:2] = 0
    alone = np.concatenate([run_float(model, data[i : i + 1]) for i in range(6)])
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
    model, data, sizes = lively(Net()).double(), images(7, 4), []
    whole = run_float(model, data)
    model.register_forward_pre_hook(lambda module, arguments: sizes.append(len(arguments[0])))
    monkeypatch.setattr(floats, "MEMORY", 3 * STEPS * 64 * 4)
    assert np.allclose(run_float(model, data), whole, atol=1e-12)
    assert sizes == [1, 2, 3, 3, 1]
    sizes.clear()
    run_float(model, data, 5, as_written=True)
    assert sizes == [5, 2]


def test_as_written_mixes_the_samples_of_a_batch() -> None:
    model, data = lively(Leaky()), images(6, 4)
    with torch.no_grad():
        model.lif.reset()
        first = model(torch.tensor(data[:4])).numpy()
    mixed = run_float(model, data, 4, as_written=True)
    assert np.array_equal(mixed[:4], first)
    assert not np.array_equal(mixed, run_float(model, data))
