"""SpikingJelly 2.0's own models at their own sizes: compiled as they are, executors equal, logits like the model's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.neuron import IFNode
from torch import nn

import neurodeploy as nd
from neurodeploy.backends import native
from neurodeploy.models import calibrate_norms, spread_norms
from tests.frontend.zoo import Timed, maxformer, qkformer, sew_module, spike_driven_transformer, spikformer
from tests.full_size.networks import pictures

pytestmark = [pytest.mark.slow, pytest.mark.torch]
IMAGES = 4
EXECUTORS = ("reference", "onnx", "native") if native.available() else ("reference", "onnx")


def _sew(cnf: str, mode: str) -> nn.Module:
    model = sew_module().sew_resnet18(cnf=cnf, spiking_neuron=IFNode)
    functional.set_step_mode(model, mode)
    return model  # type: ignore[no-any-return]


Row = tuple[Callable[[], nn.Module], int, int | None, str]
LEAST = {"sew_resnet18, AND": 0.95, "sew_resnet18, IAND, single-step": 0.97, "maxformer_cifar": 0.98}
ELSE = 0.99  # least correlation of all others; measured values are in docs/zoo.md
ZOO: dict[str, Row] = {  # model, pixels, T where it makes no time steps itself, target
    "spikformer_cifar10": (spikformer.spikformer_cifar10, 32, None, "loihi2"),
    "maxformer_cifar": (maxformer.maxformer_cifar, 32, None, "cpu"),
    "spikformer_ti": (spikformer.spikformer_ti, 224, None, "loihi2"),
    "spikformer_s": (spikformer.spikformer_s, 224, None, "loihi2"),
    "sew_resnet18, ADD": (lambda: _sew("ADD", "m"), 224, 4, "loihi2"),
    "sew_resnet18, AND": (lambda: _sew("AND", "m"), 224, 4, "loihi2"),
    "sew_resnet18, IAND, single-step": (lambda: _sew("IAND", "s"), 224, 4, "loihi2"),
    "qkformer_10_384": (qkformer.qkformer_10_384, 224, None, "loihi2"),
    "qkformer_10_384, channel": (
        lambda: qkformer.QKFormer(num_heads=(6, 6, 6), qka_type="channel"),
        224,
        None,
        "loihi2",
    ),
    "maxformer_10_384": (maxformer.maxformer_10_384, 224, None, "cpu"),
    "sdt_8_384": (spike_driven_transformer.sdt_8_384, 224, None, "cpu"),
}


@pytest.mark.parametrize("name", ZOO)
def test_compiles_as_it_is(name: str) -> None:
    make, size, steps, target = ZOO[name]
    torch.manual_seed(0)
    model = spread_norms(make(), seed=1)
    images = [pictures(IMAGES, 3, size, seed) for seed in range(3)]
    calibrate_norms(model if steps is None else Timed(model, steps), torch.from_numpy(images[0]), batch=2)
    deployed = nd.compile(model.eval(), images[1][:1], target, calibration=images[1], steps=steps)
    nd.compare(deployed, images[2][:1], EXECUTORS).require_equal()
    found = nd.evaluate(deployed, images[2], np.zeros(IMAGES, np.int64), model, rate_samples=0)
    print(f"{name}: correlation {found.correlation:.5f}")
    assert found.correlation is not None and found.correlation >= LEAST.get(name, ELSE)
