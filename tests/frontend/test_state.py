"""State besides the neurons: a model that keeps some is refused by its attributes, one that only caches compiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn

from neurodeploy.errors import UnsupportedModelError
from neurodeploy.frontend import run_float, trace
from neurodeploy.ir.text import to_text
from tests.frontend.small import Net, interpret, lif, lively

STEPS = 5


class Step(nn.Module):
    """One time step: an image [N, 1, 6, 6] to logits [N, 3]; `mem` is None at rest."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif, self.head = nn.Conv2d(1, 4, 3, padding=1), lif(step_mode="s"), nn.Linear(4, 3)
        self.mem: Any = None

    def reset(self) -> None:
        self.mem = None

    def logits(self, current: Tensor) -> Tensor:
        return self.head(self.lif(current).mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.conv(x))


class Leaky(Step):
    def forward(self, x: Tensor) -> Tensor:
        i = super().forward(x)
        self.mem = i if self.mem is None else 0.5 * self.mem + i
        return self.mem


class Feedback(Step):
    def forward(self, x: Tensor) -> Tensor:
        current = self.conv(x) if self.mem is None else self.conv(x) + self.mem
        self.mem = self.lif(current)
        return self.head(self.mem.mean((2, 3)))


class Counted(Step):
    def forward(self, x: Tensor) -> Tensor:
        self.mem = (self.mem or 0) + 1
        return super().forward(x)


class Listed(Step):
    def reset(self) -> None:
        self.mem = []

    def forward(self, x: Tensor) -> Tensor:
        self.mem.append(super().forward(x))
        return sum(self.mem)


class Written(Step):
    """A buffer, written in place through a view."""

    def __init__(self) -> None:
        super().__init__()
        del self.mem
        self.register_buffer("mem", torch.zeros(1, 4, 6, 6))

    def reset(self) -> None:
        self.mem.zero_()

    def forward(self, x: Tensor) -> Tensor:
        self.mem[:, 0] += 1
        return self.logits(self.conv(x) + self.mem)


class Cached(Step):
    """The current of an image that stays is computed once."""

    def forward(self, x: Tensor) -> Tensor:
        if self.mem is None:
            self.mem = self.conv(x)
        return self.logits(self.mem)


class Watched(Step):
    """Keeps what nothing reads."""

    def forward(self, x: Tensor) -> Tensor:
        self.mem = self.conv(x)
        return self.logits(self.mem)


class Sized(Step):
    """Looks at the number of samples, which is one where a network is deployed."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * x.shape[0] if len(x) == 1 else super().forward(x) * 0.0


def images(count: int = 2, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, *shape, 1, 6, 6), dtype=np.float32) * 2


def refused(model: nn.Module, data: np.ndarray, steps: int | None = STEPS) -> Any:
    with pytest.raises(UnsupportedModelError) as caught:
        trace(lively(model), data, steps=steps)
    (found,) = (finding for finding in caught.value.findings if finding.code == "ND-F015")
    return found


@pytest.mark.parametrize("kind", [Leaky, Feedback, Counted, Listed, Written])
def test_a_state_over_time_steps_is_refused_by_name(kind: type[Step]) -> None:
    model = kind()
    model.reset()
    for buffer in model.buffers():
        buffer.fill_(7)
    before, numbers = dict(vars(model.eval())), [buffer.clone() for buffer in model.buffers()]
    found = refused(model, images())
    assert all(torch.equal(buffer, was) for buffer, was in zip(model.buffers(), numbers, strict=True))
    assert "mem" in found.have
    assert "tests/frontend/test_state.py:" in found.source
    line = int(found.source.rpartition(":")[2])
    assert "self.mem" in Path(__file__).read_text().splitlines()[line - 1]
    after = vars(model)
    assert {k: v for k, v in after.items() if k != "training"} == {k: v for k, v in before.items() if k != "training"}


def test_a_list_keeps_its_entries() -> None:
    model = Listed()
    model.mem = kept = [1, 2]
    refused(model, images())
    assert model.mem is kept
    assert kept == [1, 2]


@pytest.mark.parametrize("kind", [Cached, Watched, Sized])
def test_what_keeps_no_state_over_time_is_traced(kind: type[Step]) -> None:
    model, data = lively(kind()).double(), images()
    graph = trace(model, data, steps=STEPS)
    assert to_text(graph).replace(kind.__name__, "Step") == to_text(trace(_twin(model), data, steps=STEPS))
    for sample in torch.tensor(data, dtype=torch.float64):
        model.reset()
        functional.reset_net(model)
        with torch.no_grad():
            wanted = torch.stack([model(sample[None])[0] for _ in range(STEPS)]).mean(0)
        assert torch.allclose(interpret(graph, sample)[graph.output][0], wanted, rtol=1e-12, atol=1e-12)


def _twin(model: nn.Module) -> nn.Module:
    """The layers alone, without what the subclass adds."""
    twin = Step().double().eval()
    twin.load_state_dict(model.state_dict())
    return twin


def test_a_stale_cache_is_no_constant_of_the_network() -> None:
    model, data = lively(Cached()).double(), images()
    fresh = to_text(trace(model, data, steps=STEPS))
    model.mem = stale = torch.ones(1, 4, 6, 6, dtype=torch.float64)
    assert to_text(trace(model, data, steps=STEPS)) == fresh
    assert model.mem is stale


def test_a_cache_of_the_first_event_frame_is_refused() -> None:
    assert "mem" in refused(Cached(), images(2, STEPS)).have


def test_a_state_from_one_sample_to_the_next_is_refused() -> None:
    class Running(Net):
        last: Any = None

        def body(self, x: Tensor) -> Tensor:
            if self.last is not None:
                x = x + self.last
            self.last = x
            return x

    found = refused(Running(), np.zeros((1, 1, 4, 4), np.float32), None)
    assert "last" in found.have


def test_a_state_that_starts_anew_in_forward_is_traced() -> None:
    class Fresh(Net):
        last: Any = None

        def body(self, x: Tensor) -> Tensor:
            self.last = x
            return self.last + x

    data = np.random.default_rng(0).random((2, 1, 4, 4), dtype=np.float32)
    model = lively(Fresh())
    graph = trace(model, data)
    wanted = run_float(model, data)
    assert np.allclose([interpret(graph, torch.tensor(x))[graph.output][0].numpy() for x in data], wanted, atol=1e-5)
