"""Arithmetic on parameters before they meet the image gives constants of the network, and never a traceback."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurodeploy.errors import UnsupportedModelError
from neurodeploy.frontend import run_float, trace
from tests.frontend.small import STEPS, Net, interpret, lif, lively


class Scaled(Net):
    """A second layer, made of a convolution's weight and two learned factors by `work`."""

    def __init__(self, work: Callable[[Scaled, Tensor], Tensor]) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.tensor(0.7)), nn.Parameter(torch.tensor([1.6]))
        self.more, self.lif2 = nn.Conv2d(4, 4, 3, padding=1), lif(v_threshold=0.5)
        self.work = (work,)

    def body(self, x: Tensor) -> Tensor:
        return self.lif2(self.work[0](self, x.flatten(0, 1)).unflatten(0, (STEPS, -1)))


WORKS: dict[str, Callable[[Scaled, Tensor], Tensor]] = {
    "parameter * number": lambda m, x: m.more(x) * (m.alpha * 2),
    "parameter * parameter": lambda m, x: m.more(x) * (m.alpha * m.beta),
    "1 - parameter": lambda m, x: m.more(x) / (1 - m.alpha),
    "sigmoid": lambda m, x: torch.sigmoid(m.beta) * m.more(x),
    "weight * parameter": lambda m, x: F.conv2d(x, m.alpha * m.more.weight, padding=1),
    "weight standardized": lambda m, x: F.conv2d(
        x, (m.more.weight - m.more.weight.mean((1, 2, 3), keepdim=True)) / m.more.weight.std(), padding=1
    ),
    "part of a weight": lambda m, x: F.conv2d(x, m.more.weight.chunk(2)[1].repeat(2, 1, 1, 1), padding=1),
    "made in forward": lambda m, x: m.more(x) * torch.full((1,), 0.5),
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_constants_are_computed(work: Callable[[Scaled, Tensor], Tensor]) -> None:
    model, data = lively(Scaled(work)), np.random.default_rng(0).random((3, 1, 4, 4), dtype=np.float32) * 2
    graph = trace(model, data)
    logits = [interpret(graph, torch.tensor(x))[graph.output][0].numpy() for x in data]
    assert np.allclose(logits, run_float(model, data), rtol=1e-5, atol=1e-5)


REFUSED: dict[str, Callable[[Scaled, Tensor], Tensor]] = {
    "random": lambda m, x: m.more(x) * torch.rand(1),
    "written": lambda m, x: m.more(x) * m.alpha.clone().mul_(2),
    "a factor of more axes": lambda m, x: (m.more(x) * m.beta.view(1, 1, 1, 1, 1)).squeeze(0),
    "a factor a channel": lambda m, x: m.more(x) * (m.more.bias.view(-1, 1, 1) * 2),
}


@pytest.mark.parametrize("work", REFUSED.values(), ids=REFUSED)
def test_others_are_refused(work: Callable[[Scaled, Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        trace(lively(Scaled(work)), np.zeros((1, 1, 4, 4), np.float32))
    assert {finding.code for finding in caught.value.findings} <= {"ND-F003", "ND-F004"}
