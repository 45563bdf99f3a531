"""The traced graphs of the published configurations, as text, are the same whatever torch traced them.

The digests were taken on torch 2.3.1 (Python 3.10) and on torch 2.13.0 (Python 3.11), which agree.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from neurodeploy.frontend import trace
from neurodeploy.ir.text import to_text
from neurodeploy.models import FACTORIES

DIGESTS = {
    "qkformer_mnist": "fe4a89ba03d023b0",
    "spikformer_mnist": "b6163d54ae3d2771",
    "qkformer_cifar10": "91732ce4dbfd4a6b",
    "spikformer_cifar10": "1f2a2c67aa466980",
    "qkformer_cifar10dvs": "8b51af2dcf3945e8",
    "spikformer_cifar10dvs": "ae1be697508ac612",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_text_of_the_traced_graph(name: str) -> None:
    model = FACTORIES[name]().eval()
    with torch.no_grad():
        for values in model.state_dict().values():  # numbers that every torch makes alike
            if values.is_floating_point():
                values.copy_((torch.arange(values.numel()) % 7 + 1).reshape(values.shape) / 8)
    text = to_text(trace(model, np.zeros((1, *model.config.input_shape), np.float32)))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[name]
