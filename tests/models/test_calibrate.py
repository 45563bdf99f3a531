"""BatchNorm statistics from images: what is measured, what stays, and that the neurons then fire."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based.neuron import LIFNode
from torch import Tensor, nn

from neurodeploy.models import FACTORIES, calibrate_norms, spread_norms
from tests.models.small import FORMS


def fresh(form: str = "qkformer_cifar") -> nn.Module:
    torch.manual_seed(3)
    return FORMS[form]()


def images(model: nn.Module, count: int = 6) -> Tensor:
    return torch.rand(count, *model.config.input_shape, generator=torch.Generator().manual_seed(5))


def test_statistics_are_the_mean_over_the_batches() -> None:
    model = fresh()
    x = images(model)
    calibrate_norms(model, x, batch=4)
    currents = [model.patch_embed1.proj_conv(part) for part in (x[:4], x[4:])]
    mean = torch.stack([current.mean((0, 2, 3)) for current in currents]).mean(0)
    # an image stands for all of the steps, which changes the sample's variance by its count alone
    counts = [current.numel() / current.shape[1] * model.config.steps for current in currents]
    spread = [c.var((0, 2, 3), unbiased=False) * n / (n - 1) for c, n in zip(currents, counts, strict=True)]
    torch.testing.assert_close(model.patch_embed1.proj_bn.running_mean, mean)
    torch.testing.assert_close(model.patch_embed1.proj_bn.running_var, torch.stack(spread).mean(0))


def test_weights_stay_and_membranes_are_clean() -> None:
    model, other = fresh(), fresh()
    assert calibrate_norms(model, images(model)) is model
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert not any(module.training for module in model.modules())
    assert {module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}
    assert {module.v for module in model.modules() if isinstance(module, LIFNode)} == {0.0}


def test_the_same_seed_gives_the_same_model() -> None:
    first, again, other = (
        calibrate_norms(spread_norms(m, s), images(m))
        for m, s in zip((fresh(), fresh(), fresh()), (1, 1, 2), strict=True)
    )
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in first.state_dict().items())
    assert not torch.equal(first.patch_embed1.proj_bn.weight, other.patch_embed1.proj_bn.weight)
    # a second run starts from nothing, so that it finds what the first one found
    calibrate_norms(first, images(first))
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in first.state_dict().items())


@pytest.mark.parametrize("name", ["qkformer_cifar10", "spikformer_cifar10_2_384"])
def test_every_neuron_of_a_published_network_fires(name: str) -> None:
    torch.manual_seed(0)
    model = spread_norms(FACTORIES[name](), seed=1)
    x = images(model, 2)
    calibrate_norms(model, x)
    rates: dict[str, float] = {}
    for path, module in model.named_modules():
        if isinstance(module, LIFNode):
            module.register_forward_hook(lambda _m, _x, out, path=path: rates.__setitem__(path, out.mean().item()))
    with torch.no_grad():
        logits = model(x)
    assert min(rates.values()) > 0.01
    # a token's mask is the union over the channels of a head, and therefore dense
    assert max(rate for path, rate in rates.items() if "tssa.attn" not in path) < 0.6
    assert logits.std() > 0.1
