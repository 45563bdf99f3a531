"""Time given by the caller: a model without a time axis means the same in the trace, in the float run and in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer
from torch import Tensor, nn

import neurodeploy as nd
from neurodeploy.errors import UnsupportedModelError, UsageError
from neurodeploy.frontend import run_float, trace
from neurodeploy.ir.text import to_text
from tests.frontend.small import interpret, lif, lively

STEPS = 5


class Plain(nn.Module):
    """Layers of SpikingJelly in either step mode; forward has no time of its own."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.conv, self.bn = layer.Conv2d(1, 4, 3, padding=1), layer.BatchNorm2d(4)
        self.lif1, self.lif2 = lif(), lif(v_threshold=0.5)
        self.more, self.pool, self.head = (
            layer.Conv2d(4, 4, 3, padding=1),
            layer.AdaptiveAvgPool2d(1),
            layer.Linear(4, 3),
        )
        functional.set_step_mode(self, mode)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, 3] of one step, or [T, N, 3]."""
        x = self.lif1(self.bn(self.conv(x)))
        return self.head(self.pool(x + self.lif2(self.more(x))).flatten(-3))


def made(mode: str) -> nn.Module:
    torch.manual_seed(0)
    return lively(Plain(mode)).double()


def frames(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(3).random((count, *shape, 1, 6, 6), dtype=np.float32) * 2


def by_hand(mode: str, sequence: Tensor) -> Tensor:
    """The mean over T of the logits of [T, N, C, H, W]."""
    model = made(mode)
    with torch.no_grad():
        return (torch.stack([model(x) for x in sequence]) if mode == "s" else model(sequence)).mean(0)


@pytest.mark.parametrize("mode", "sm")
@pytest.mark.parametrize("events", [False, True])
def test_one_meaning(mode: str, events: bool) -> None:
    data = frames(4, STEPS) if events else frames(4)
    given = torch.tensor(data, dtype=torch.float64)
    sequence = given.transpose(0, 1) if events else given.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)
    wanted = by_hand(mode, sequence)
    model = made(mode)
    graph = trace(model, data, steps=STEPS)
    assert (graph.steps, len(graph.of("events"))) == (STEPS, int(events))
    logits = torch.stack([interpret(graph, sample)[graph.output][0] for sample in given])
    assert torch.allclose(logits, wanted, rtol=1e-12, atol=1e-12)
    assert np.allclose(run_float(model, data, steps=STEPS), wanted.numpy(), rtol=1e-12, atol=1e-12)
    assert np.allclose(run_float(model, data, batch=3, steps=STEPS), wanted.numpy(), rtol=1e-12, atol=1e-12)
    assert len({tuple(row) for row in wanted.round(decimals=6).tolist()}) > 1


def test_both_modes_make_one_network() -> None:
    single, multi = (trace(made(mode), frames(1), steps=STEPS) for mode in "sm")
    assert to_text(single) == to_text(multi)
    assert (single.metadata["time_loop"], multi.metadata["time_loop"]) == ("single-step", "multi-step")
    assert single.metadata["read_out"] == "mean over T of the model's [N, classes] of each step"
    assert multi.metadata["read_out"] == "mean over T of the model's [T, N, classes]"
    assert single.metadata["batch_coupled"] == "[]"


def test_the_artefact_knows_how_the_float_model_is_run() -> None:
    model, images = made("s").float(), frames(6)
    deployed = nd.compile(model, images[:1], calibration=images, steps=STEPS)
    found = nd.evaluate(deployed, images, np.zeros(6, np.int64), model, float_batch=2, rate_samples=0)
    wanted = by_hand("s", torch.tensor(images, dtype=torch.float64).unsqueeze(0).repeat(STEPS, 1, 1, 1, 1))
    assert found.float_accuracy == found.float_batch_accuracy == 100 * (wanted.argmax(1) == 0).double().mean().item()
    assert deployed.describe(mapped=False)["time_loop"] == "single-step"


def test_the_model_stays_as_it_was() -> None:
    model = made("s")
    model(torch.zeros(1, 1, 6, 6, dtype=torch.float64))
    kept = model.lif1.v
    trace(model, frames(1), steps=STEPS)
    run_float(model, frames(2), steps=STEPS)
    assert model.lif1.v is kept
    assert model.lif1.step_mode == "s"


def test_a_single_step_model_without_steps_is_told() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        trace(made("s"), frames(1))
    assert any(f.code == "ND-F001" and "steps=T" in f.next for f in caught.value.findings)


def test_a_model_of_sequences_without_steps_is_told() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        trace(made("m"), frames(1))
    (finding,) = caught.value.findings
    assert finding.code == "ND-F005"
    assert "steps=T" in finding.next


def test_neurons_of_both_kinds_are_refused() -> None:
    model = made("m")
    model.lif2.step_mode = "s"
    with pytest.raises(UnsupportedModelError) as caught:
        trace(model, frames(1), steps=STEPS)
    assert {(f.code, f.layer) for f in caught.value.findings} == {("ND-F001", "lif2")}


@pytest.mark.parametrize("steps", [0, -1, True, 2.0, "4"])
def test_steps_that_are_none(steps: Any) -> None:
    for call in (trace, run_float):
        with pytest.raises(UsageError, match="ND-F012"):
            call(made("s"), frames(1), steps=steps)


def test_as_many_steps_as_event_frames() -> None:
    with pytest.raises(UsageError, match="5 of them"):
        trace(made("m"), frames(1, STEPS), steps=STEPS + 1)
