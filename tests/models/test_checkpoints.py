"""The checkpoints that the examples ship: plain tensors, the right keys, the accuracy that their cards state."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from spikingjelly.activation_based import functional
from torch import Tensor, nn

from examples.data import FASHION_MNIST, Split, digits, fashion_mnist
from neurodeploy.models import FACTORIES

CHECKPOINTS = Path(__file__).parents[2] / "examples" / "checkpoints"
NAMES = sorted(path.stem for path in CHECKPOINTS.glob("*.pth"))


def load(name: str) -> nn.Module:
    model = FACTORIES[name]()
    model.load_state_dict(torch.load(CHECKPOINTS / f"{name}.pth", weights_only=True)["model"])
    return model.eval()


def logits(model: nn.Module, images: Tensor) -> Tensor:
    """Logits of all images, in batches that fit a cache."""
    with torch.no_grad():
        parts = []
        for part in images.split(50):
            functional.reset_net(model)
            parts.append(model(part))
    return torch.cat(parts)


def split_of(name: str) -> Split:
    if "fashion" not in name:
        return digits()
    if not FASHION_MNIST.is_dir():
        pytest.skip("needs the Debian package dataset-fashion-mnist")
    return fashion_mnist()


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_is_small_and_holds_plain_tensors(name: str) -> None:
    path = CHECKPOINTS / f"{name}.pth"
    assert path.stat().st_size < 1_000_000
    content = torch.load(path, weights_only=True)
    assert set(content) == {"model"}
    assert {type(value) for value in content["model"].values()} == {Tensor}


@pytest.mark.parametrize("name", NAMES)
def test_a_tenth_of_the_test_set_confirms_the_card(name: str) -> None:
    card = (CHECKPOINTS / f"{name}.md").read_text()
    stated = float(re.search(r"Accuracy[^|]*\|\s*([\d.]+) %", card)[1])  # type: ignore[index]
    split = split_of(name)
    images, labels = (torch.from_numpy(array[:: len(array) // 500]) for array in split)
    reached = 100 * (logits(load(name), images).argmax(1) == labels).float().mean().item()
    assert len(labels) == 500
    # four standard errors of 500 images at the stated accuracy
    assert reached > stated - 4 * (stated * (100 - stated) / 500) ** 0.5


@pytest.mark.parametrize("name", ["qkformer_mnist", "spikformer_mnist"])
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    model, images = load(name), torch.from_numpy(digits().images[::625])
    alone = torch.cat([logits(model, image[None]) for image in images])
    # float sums may be ordered otherwise in a batch; the official batch coupling moves logits by 0.01 and more
    torch.testing.assert_close(logits(model, images), alone, rtol=0, atol=1e-4)
