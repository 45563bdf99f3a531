"""The published networks for event cameras at their own size: 2x128x128, T of 10 and 16."""

from __future__ import annotations

import numpy as np
import pytest

import neurodeploy as nd
from neurodeploy.backends import native
from tests.event_frames import frames

pytestmark = [pytest.mark.torch, pytest.mark.slow]

NETWORKS = [
    ("qkformer_cifar10dvs", 16),
    ("qkformer_dvs128", 16),
    ("spikformer_cifar10dvs", 10),
    ("spikformer_dvs128", 16),
]
EXECUTORS = ("reference", "onnx", "native") if native.available() else ("reference", "onnx")
SAMPLES = 8


@pytest.mark.parametrize(("name", "steps"), NETWORKS)
def test_published_networks_follow_the_float_model(name: str, steps: int) -> None:
    import torch

    from neurodeploy import models
    from neurodeploy.models.calibrate import calibrate_norms, spread_norms

    given = frames(2 * SAMPLES, steps, size=128)
    seen, unseen = given[:SAMPLES], given[SAMPLES:]
    torch.manual_seed(0)
    network = spread_norms(models.FACTORIES[name](steps=steps), seed=1)
    network = calibrate_norms(network, torch.tensor(seen, dtype=torch.float32))
    deployed = nd.compile(network, seen[:1], calibration=seen)
    assert deployed.input_shape == (steps, 2, 128, 128)
    assert deployed.graph.encoders[0].number("step") == 1.0
    nd.compare(deployed, unseen[:1], EXECUTORS).require_equal()
    found = nd.evaluate(deployed, unseen, np.zeros(SAMPLES, np.int64), float_model=network)
    assert all(rate > 0 for rate in found.firing_rate.values())
    assert found.correlation is not None and found.correlation >= 0.99
