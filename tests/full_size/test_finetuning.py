"""The shipped networks as modules: every LIF spike, membrane and logit of 1,000 digits is the reference's.

Before training and after some steps of it. On two cores some minutes a network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import neurodeploy as nd
from examples.data import digits
from neurodeploy import api
from neurodeploy.backends.reference import run
from neurodeploy.finetuning import IntegerNetwork
from neurodeploy.ir.graph import Graph

pytestmark = [pytest.mark.slow, pytest.mark.torch]
CHECKPOINTS = Path(__file__).resolve().parents[2] / "examples" / "checkpoints"
COUNT, PART, BATCH = 1000, 50, 32


def differences(network: IntegerNetwork, graph: Graph, images: np.ndarray) -> int:
    """Spikes, membranes and logits that are not the reference's."""
    wrong = 0
    for start in range(0, len(images), PART):
        chunk, seen = images[start : start + PART], dict[str, tuple[torch.Tensor, torch.Tensor]]()
        wanted = run(graph, chunk, probes="all")
        with torch.no_grad():
            logits = network.integers(
                torch.from_numpy(chunk), lambda name, *found, held=seen: held.update({name: found})
            )
        wrong += int((logits.numpy() != wanted.logits).sum())
        for name, (spikes, membranes) in seen.items():
            wrong += int((spikes.transpose(0, 1).numpy() != wanted.spikes[name]).sum())
            wrong += int((membranes.transpose(0, 1).numpy() != wanted.membrane[name]).sum())
    return wrong


@pytest.mark.parametrize("name", ["qkformer_mnist", "spikformer_mnist", "qkformer_fashion_mnist"])
def test_every_spike_is_the_references_before_training_and_after(name: str) -> None:
    data = digits()
    order = np.random.default_rng(0).permutation(len(data.labels))
    images, labels = data.images[order[:COUNT]], data.labels[order[:COUNT]]
    model = api.load_model(f"neurodeploy.models:{name}", CHECKPOINTS / f"{name}.pth")
    network = nd.prepare_finetuning(model, images[:1], calibration=images[:64], weight_bits=4)
    assert differences(network, network.graph, images) == 0
    optimizer = torch.optim.Adam(network.groups(0.005))
    for part in range(3):
        rows = slice(part * BATCH, (part + 1) * BATCH)
        loss = F.cross_entropy(network(torch.from_numpy(images[rows])), torch.from_numpy(labels[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.project()
    assert differences(network, network.deploy().graph, images) == 0
