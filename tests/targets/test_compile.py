"""A network compiles for every target, and for a user's own file; what is proven is its profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import neurodeploy as nd
from neurodeploy.targets import available, load_target
from tests.traced_graphs import pictures

pytestmark = pytest.mark.torch
TARGETS = Path(__file__).resolve().parents[2] / "targets"


@pytest.fixture(scope="module")
def network() -> Any:
    torch = pytest.importorskip("torch")
    from neurodeploy.models import QKFormer, QKFormerConfig

    torch.manual_seed(3)
    config = QKFormerConfig(
        image_size=8, in_channels=1, classes=3, dims=(8, 16), depths=(1, 1), heads=(2, 2), pools=(True, True)
    )
    return QKFormer(config).eval()


@pytest.mark.parametrize("name", available())
def test_compiles_for_every_target(network: Any, name: str) -> None:
    images = pictures(4)
    deployed = nd.compile(network, images[:1], target=name, calibration=images)
    assert deployed.graph.metadata["target"] == name
    assert deployed.graph.profile == load_target(name).profile
    assert deployed.bounds


def test_compiles_for_a_file_of_ones_own(network: Any, tmp_path: Path) -> None:
    path, images = tmp_path / "mine.toml", pictures(4)
    path.write_text((TARGETS / "truenorth.toml").read_text().replace('name = "truenorth"', 'name = "mine"'))
    assert nd.compile(network, images[:1], target=path, calibration=images).graph.metadata["target"] == "mine"
