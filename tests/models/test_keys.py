"""State-dict keys, shapes and numbers of parameters are those of the official code.

`keys/official.txt` was made from the official model files (QKFormer c2a00e8, Spikformer 6212689). The key lists leave
out what no forward reads and ours do not have: `norm`, `norm1`, `norm2` (but for CIFAR) and `pos_embed`.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

from neurodeploy.models import FACTORIES

KEYS = Path(__file__).parent / "keys"


class Official(NamedTuple):
    name: str
    parameters: int
    used: int
    keys: int
    digest: str


def official() -> list[Official]:
    rows = [line.split() for line in (KEYS / "official.txt").read_text().splitlines() if not line.startswith("#")]
    return [Official(name, int(total), int(used), int(keys), digest) for name, total, used, keys, digest in rows]


OFFICIAL = official()


@cache
def built(name: str) -> nn.Module:
    """The model without memory for its weights."""
    with torch.device("meta"):
        return FACTORIES[name]()


def keys(name: str) -> list[str]:
    return sorted(f"{key} {list(value.shape)}" for key, value in built(name).state_dict().items())


@pytest.mark.parametrize("name", ["qkformer_cifar10", "spikformer_cifar10"])
def test_keys_and_shapes_are_the_official_ones(name: str) -> None:
    assert keys(name) == (KEYS / f"{name}.txt").read_text().splitlines()


@pytest.mark.parametrize("row", OFFICIAL, ids=lambda row: row.name)
def test_keys_and_shapes_of_all_configurations(row: Official) -> None:
    ours = keys(row.name)
    assert (len(ours), hashlib.sha256("\n".join(ours).encode()).hexdigest()[:16]) == (row.keys, row.digest)


@pytest.mark.parametrize("row", OFFICIAL, ids=lambda row: row.name)
def test_number_of_parameters(row: Official) -> None:
    sizes = {name: parameter.numel() for name, parameter in built(row.name).named_parameters()}
    assert sum(size for name, size in sizes.items() if "norm" not in name) == row.used
    # only the CIFAR networks carry the norms that the official code has and never calls
    assert sum(sizes.values()) == (row.parameters if FACTORIES[row.name].config.dialect == "cifar" else row.used)


def test_every_published_configuration_is_there() -> None:
    assert {row.name for row in OFFICIAL} == {name for name in FACTORIES if "mnist" not in name}


# what the papers state, in millions: cut or rounded to two digits, without the layers that no forward reads
PUBLISHED = {
    "qkformer_10_384": 16.47,
    "qkformer_10_512": 29.08,
    "qkformer_10_768": 64.96,
    "qkformer_cifar100": 6.74,
    "spikformer_8_384": 16.81,
    "spikformer_8_512": 29.68,
    "spikformer_10_512": 36.01,
    "spikformer_8_768": 66.34,
    "spikformer_cifar10": 9.32,
}


@pytest.mark.parametrize(("name", "millions"), PUBLISHED.items())
def test_published_millions(name: str, millions: float) -> None:
    used = next(row.used for row in OFFICIAL if row.name == name)
    assert abs(used / 1e6 - millions) < 0.01


@pytest.mark.parametrize(
    ("name", "wanted", "shape"),
    [
        ("qkformer_10_384", "stage3.6.attn.proj_conv.bias", [384]),
        ("qkformer_10_384", "stage2.1.mlp.fc1_conv.weight", [768, 192, 1, 1]),
        ("qkformer_10_384", "patch_embed1.proj2_conv.weight", [96, 96, 3, 3]),
        ("qkformer_cifar100", "stage3.1.ssa.q_conv.weight", [384, 384, 1]),
        ("qkformer_cifar100", "stage1.0.mlp.mlp1_conv.weight", [384, 96, 1, 1]),
        ("qkformer_cifar10dvs", "patch_embed1.proj3_conv.weight", [128, 64, 3, 3]),
        ("qkformer_cifar10dvs", "patch_embed2.proj_conv.weight", [256, 128, 3, 3]),
        ("qkformer_dvs128", "stage1.0.tssa.k_conv.weight", [128, 128, 1]),
        ("spikformer_8_512", "block.7.mlp.fc1_conv.weight", [2048, 512, 1, 1]),
        ("spikformer_cifar10dvs", "block.1.mlp.fc1_conv.weight", [1024, 256, 1]),
        ("spikformer_cifar100", "block.3.attn.q_linear.weight", [384, 384]),
        ("spikformer_dvs128", "head.weight", [11, 256]),
    ],
)
def test_each_file_keeps_its_names(name: str, wanted: str, shape: list[int]) -> None:
    assert f"{wanted} {shape}" in keys(name)


@pytest.mark.parametrize(("name", "count"), [("qkformer_mnist", 177_146), ("spikformer_mnist", 164_418)])
def test_number_of_parameters_of_the_shipped_networks(name: str, count: int) -> None:
    assert sum(p.numel() for p in built(name).parameters()) == count


@pytest.mark.parametrize(("small", "official"), [("qkformer_mnist", "qkformer"), ("spikformer_mnist", "spikformer")])
def test_small_networks_use_official_names(small: str, official: str) -> None:
    names = {line.split()[0] for line in (KEYS / f"{official}_cifar10.txt").read_text().splitlines()}
    # the small QKFormer has two stages, so its second one holds the SSA blocks that are the third one's there
    ours = {key.replace("stage2.", "stage3.") for key in built(small).state_dict()}
    assert ours <= names


def test_a_factory_takes_other_steps_classes_and_pixels() -> None:
    with torch.device("meta"):
        model = FACTORIES["qkformer_10_384"](steps=1, classes=7, image_size=288)
    assert (model.config.steps, model.config.input_shape, model.head.out_features) == (1, (3, 288, 288), 7)
    assert FACTORIES["spikformer_dvs128"].config.input_shape == (16, 2, 128, 128)
