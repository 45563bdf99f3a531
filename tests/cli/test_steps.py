"""neurodeploy compile --steps: a model of single steps becomes an artefact that says how its time was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.traced_graphs import pictures

pytestmark = pytest.mark.torch

SOURCE = """
from spikingjelly.activation_based import layer, neuron
from torch import nn

def single_step():
    head = [layer.Conv2d(4, 4, 3, padding=1), neuron.IFNode(v_threshold=0.25)]
    body = nn.Sequential(layer.Conv2d(1, 4, 3, padding=1), neuron.LIFNode(v_threshold=0.25), *head)
    return nn.Sequential(body, layer.AdaptiveAvgPool2d(1), nn.Flatten(), layer.Linear(4, 3))
"""


def test_steps(call: Any, tmp_path: Path) -> None:
    model, images, artefact = (tmp_path / name for name in ("net.py", "images.npy", "net.onnx"))
    model.write_text(SOURCE, encoding="utf-8")
    np.save(images, pictures(8))
    words = ("compile", f"{model}:single_step", "--calibration", images, "-o", artefact)
    refused = call(*words, "--json")
    assert refused.code != 0
    assert "steps=T" in refused.out
    document = call(*words, "--steps", "3", "--json").document
    assert (document["steps"], document["time_loop"]) == (3, "single-step")
    assert "mean over T of the model's [N, classes] of each step" in " ".join(call("inspect", artefact).out.split())
    assert call(*words, "--steps", "0", "--json").findings == ["ND-F012"]
