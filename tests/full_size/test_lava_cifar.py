"""The networks of the CIFAR configuration as stock Lava processes: logits, and every LIF in every step."""

from __future__ import annotations

import resource
from functools import partial

import numpy as np
import pytest
import torch

import neurodeploy
from neurodeploy.api import CompiledModel
from neurodeploy.models import FACTORIES, calibrate_norms, spread_norms

pytestmark = [pytest.mark.slow, pytest.mark.lava, pytest.mark.torch]
WORKER_KIBIBYTES = 4 << 20


def deployed(name: str, images: np.ndarray) -> CompiledModel:
    """A network that was never trained, with batch norms under which its neurons fire."""
    torch.manual_seed(0)
    model = calibrate_norms(spread_norms(FACTORIES[name](), seed=1), torch.from_numpy(images))
    return neurodeploy.compile(model, images[:1], calibration=images)


@pytest.mark.parametrize("name", ["qkformer_cifar10", "spikformer_cifar10"])
def test_equals_the_reference(name: str) -> None:
    images = np.random.default_rng(0).random((8, 3, 32, 32), dtype=np.float32)
    run = partial(deployed(name, images).run, images[:2], probes="all")
    seen: list[tuple[int, int]] = []
    wanted, given = run("reference"), run("lava", progress=lambda done, total: seen.append((done, total)))
    assert all(spikes[sample].any() for spikes in wanted.spikes.values() for sample in range(2))
    np.testing.assert_array_equal(given.logits, wanted.logits)
    assert list(given.spikes) == list(given.membrane) == list(wanted.spikes)
    for layer in wanted.spikes:
        np.testing.assert_array_equal(given.spikes[layer], wanted.spikes[layer], layer)
        np.testing.assert_array_equal(given.membrane[layer], wanted.membrane[layer], layer)
    total = seen[-1][1]
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == ((0, total), (total, total))
    assert len(seen) > total // 2  # steps that take no time share a report
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < WORKER_KIBIBYTES
