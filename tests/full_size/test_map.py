"""Every network of the papers on every target: mapped, or refused with reasons, in little time and memory.

`make test-full ONLY=test_map` runs them; `-s` shows the table of a network as it is done.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurodeploy as nd
from neurodeploy import models
from neurodeploy.targets import available
from tests.event_frames import frames
from tests.full_size.networks import random_model, samples

pytestmark = [pytest.mark.slow, pytest.mark.torch]
NEURONS = ("stock", "custom")
SECONDS, BYTES = 30.0, 2 << 30  # of the processor, whatever else the machine does; resident
ON_ONE_CHIP = ("qkformer_mnist", "qkformer_fashion_mnist", "spikformer_mnist")
CHIPS = {"stock": 7, "custom": 4}  # of loihi2, for QKFormer-4-384 of CIFAR


@pytest.fixture(scope="module", params=models.FACTORIES)
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A network's name and its artefact, with random weights."""
    name, path = request.param, tmp_path_factory.mktemp(request.param) / "model.onnx"
    model, images = untrained(name)
    nd.compile(model, images[:1], calibration=images, name=name).save(path)
    return name, path


def untrained(name: str) -> tuple[torch.nn.Module, np.ndarray]:
    """A network with random weights whose neurons fire, and samples for its calibration."""
    config = models.FACTORIES[name].config
    if not config.events:
        return random_model(name), samples(name, seed=3)
    seen = frames(4, config.steps, size=config.image_size)
    torch.manual_seed(0)
    model = models.spread_norms(models.FACTORIES[name](), seed=1)
    return models.calibrate_norms(model, torch.tensor(seen, dtype=torch.float32), batch=2), seen


def measured(path: Path, target: str, neurons: str) -> dict[str, Any]:
    """What one mapping took and said, in a process of its own."""
    command = [sys.executable, "-m", "tests.full_size.measure_map", str(path), target, neurons]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_every_target_is_mapped_or_refused_with_reasons(network: tuple[str, Path]) -> None:
    name, path = network
    for target in available():
        for neurons in NEURONS if target == "loihi2" else NEURONS[:1]:
            found = measured(path, target, neurons)
            print(row(name, target, neurons, found))
            assert found["fits"] == (not found["reasons"])
            assert found["fits"] or all(found["reasons"])
            assert (target == "cpu") == (found["codes"] == ["ND-M501"])
            assert found["cpu"] < SECONDS and found["peak"] < BYTES
            if target == "loihi2":
                on_loihi2(name, neurons, found)


def row(name: str, target: str, neurons: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    placed = f"{found['cores']} cores, {found['chips'] or '?'} chips; {found['bottleneck']}"
    said = placed if found["fits"] else f"refused: {', '.join(found['codes'])}"
    return f"| {name} | {target} {neurons} | {found['cpu']:.1f} s | {found['peak'] / 2**20:.0f} MiB | {said} |"


def on_loihi2(name: str, neurons: str, found: dict[str, Any]) -> None:
    """What must be true of Loihi 2."""
    assert found["fits"] and found["bottleneck"]
    if name in ON_ONE_CHIP:
        assert found["chips"] == 1
    if name in ("qkformer_cifar10", "qkformer_cifar100"):
        assert found["chips"] <= CHIPS[neurons]
