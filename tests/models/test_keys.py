"""State-dict keys and shapes are those of the official CIFAR code, and so is the number of parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodeploy.models import FACTORIES

KEYS = Path(__file__).parent / "keys"
PARAMETERS = {
    "qkformer_cifar10": 6_706_234,
    "qkformer_cifar100": 6_740_884,
    "spikformer_cifar10": 9_330_874,
    "qkformer_mnist": 177_146,
    "spikformer_mnist": 164_418,
}


@pytest.mark.parametrize("name", ["qkformer_cifar10", "spikformer_cifar10"])
def test_keys_and_shapes_are_the_official_ones(name: str) -> None:
    state = FACTORIES[name]().state_dict()
    ours = sorted(f"{key} {list(value.shape)}" for key, value in state.items())
    assert ours == (KEYS / f"{name}.txt").read_text().splitlines()


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_number_of_parameters(name: str, count: int) -> None:
    assert sum(p.numel() for p in FACTORIES[name]().parameters()) == count


@pytest.mark.parametrize(("small", "official"), [("qkformer_mnist", "qkformer"), ("spikformer_mnist", "spikformer")])
def test_small_networks_use_official_names(small: str, official: str) -> None:
    names = {line.split()[0] for line in (KEYS / f"{official}_cifar10.txt").read_text().splitlines()}
    # the small QKFormer has two stages, so its second one holds the SSA blocks that are the third one's there
    ours = {key.replace("stage2.", "stage3.") for key in FACTORIES[small]().state_dict()}
    assert ours <= names
