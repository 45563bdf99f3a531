"""Images that are not square, for code that takes height and width for each other; sizes that do not divide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from neurodeploy.errors import Finding, UnsupportedModelError
from neurodeploy.frontend import load_model, trace
from tests.frontend.published import FILE
from tests.frontend.small import STEPS, Net, lif


class Tokens(Net):
    """Flattens its map, and reads it again as [.., W, H] or as [.., H, W]."""

    def __init__(self, swap: bool) -> None:
        super().__init__()
        self.swap, self.lif2, self.conv2 = swap, lif(), nn.Conv2d(4, 4, 3, padding=1)

    def body(self, x: Tensor) -> Tensor:
        T, B, C, H, W = x.shape
        y = self.lif2(x.flatten(3))
        y = y.reshape(T * B, C, W, H) if self.swap else y.reshape(T * B, C, H, W)
        return self.conv2(y).unflatten(0, (STEPS, -1))


def findings(model: nn.Module, *shape: int) -> tuple[Finding, ...]:
    with pytest.raises(UnsupportedModelError) as caught:
        trace(model.eval(), torch.zeros(1, *shape))
    return caught.value.findings


def test_a_swap_that_torch_does_not_see() -> None:
    (finding,) = findings(Tokens(swap=True), 1, 4, 8)
    assert finding.code == "ND-F013"
    assert finding.have == "a map of 4 x 8 that is read as 8 x 4"
    assert finding.source.startswith("tests/frontend/small.py:")  # where forward calls body


def test_square_maps_and_code_that_keeps_the_axes_apart() -> None:
    for model, height, width in ((Tokens(swap=True), 6, 6), (Tokens(swap=False), 4, 8)):
        graph = trace(model.eval(), torch.zeros(1, 1, height, width))
        assert graph.of("input")[0].integers("shape") == (1, height, width)


class Heads(Net):
    """16 channels as 2 heads of 8 on a map of 8 x 2: a split that is no map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.head, self.lif2 = nn.Linear(16, 3), lif()

    def body(self, x: Tensor) -> Tensor:
        T, B, C, H, W = x.shape
        heads = x.flatten(3).transpose(2, 3).reshape(T, B, H * W, 2, 8).permute(0, 1, 3, 2, 4)
        y = heads @ (heads.transpose(-1, -2) @ heads)
        return self.lif2(y.transpose(3, 4).reshape(T, B, C, H * W)).reshape(T, B, C, H, W)


def test_heads_of_the_size_of_a_map() -> None:
    assert len(trace(Heads().eval(), torch.zeros(1, 1, 8, 2)).of("matmul")) == 2


@pytest.fixture
def published(tmp_path: Path) -> nn.Module:
    (tmp_path / "model.py").write_text(FILE, encoding="utf-8")
    return load_model(f"{tmp_path / 'model.py'}:former")


@pytest.mark.parametrize(
    ("shape", "need", "mend"),
    [
        ((1, 8, 12), "[1, 1, 8, 12]", "square"),
        ((1, 9, 9), "[1, 1, 9, 9]", "divides"),
        ((3, 8, 8), "[1, 3, 8, 8]", "channels"),
        ((4, 1, 8, 8), "[1, 4, 1, 8, 8]", "event frames"),
    ],
)
def test_examples_that_a_published_file_cannot_take(
    published: nn.Module, shape: tuple[int, ...], need: str, mend: str
) -> None:
    (finding,) = findings(published, *shape)
    assert finding.code == "ND-F005"
    assert need in finding.need
    assert mend in finding.next
    assert "model.py:" in finding.source


def test_a_swap_that_broadcasts_is_named_first(published: nn.Module) -> None:
    assert findings(published, 1, 8, 2)[0].code == "ND-F013"


class Half(Net):
    """A second neuron over other time steps than the first."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change, self.lif2 = change, lif()

    def body(self, x: Tensor) -> Tensor:
        return self.lif2(self.change(x))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[: STEPS // 2],
        lambda x: x.repeat(2, 1, 1, 1, 1),
        lambda x: x.reshape(2, STEPS // 2, *x.shape[1:]).sum(1),
    ],
    ids=["slice", "repeat", "reshape"],
)
def test_neurons_of_different_numbers_of_steps(change: Callable[[Tensor], Tensor]) -> None:
    (finding,) = findings(Half(change), 1, 4, 4)
    assert finding.code == "ND-F003"
    assert finding.source.startswith("tests/frontend/")
    assert "the same T steps" in finding.next
