"""Meaning of the forward pass: shapes, where pooling stands, the attention formulas, configurations refused."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurodeploy.errors import UsageError
from neurodeploy.models import FACTORIES, QKFormer, QKFormerConfig, Spikformer, SpikformerConfig

SMALL = [name for name in FACTORIES if "mnist" in name]


def lively(model: nn.Module) -> nn.Module:
    """Give the BatchNorms statistics under which the neurons of an untrained network fire."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.uniform_(module.bias, 0.2, 1.2)
            nn.init.uniform_(module.running_var, 0.05, 0.5)
    return model.eval()


def record(model: nn.Module, names: list[str], x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Run the model once; input and output of the layers named."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for name in names:
        model.get_submodule(name).register_forward_hook(
            lambda _m, args, out, name=name: seen.__setitem__(name, (args[0], out))
        )
    with torch.no_grad():
        model(x)
    return seen


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(7)


@pytest.mark.parametrize("name", SMALL)
def test_images_become_logits(name: str) -> None:
    model = FACTORIES[name]().eval()
    assert model(torch.rand(3, *model.config.input_shape)).shape == (3, 10)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_neurons_see_all_time_steps(steps: int) -> None:
    model = lively(
        QKFormer(QKFormerConfig(image_size=8, dims=(16,), depths=(1,), heads=(2,), pools=(True,), steps=steps))
    )
    seen = record(model, ["stage1.0.ssa.proj_lif"], torch.rand(2, 3, 8, 8))
    assert seen["stage1.0.ssa.proj_lif"][0].shape == (steps, 2, 16, 16)


def test_qkformer_pools_before_the_neuron() -> None:
    model = lively(FACTORIES["qkformer_mnist"]())
    seen = record(model, ["patch_embed1.proj_lif", "patch_embed2.proj4_lif"], torch.rand(1, 1, 28, 28))
    assert [tuple(x.shape[-2:]) for x, _ in seen.values()] == [(14, 14), (7, 7)]


def test_spikformer_pools_behind_the_neuron() -> None:
    model = lively(FACTORIES["spikformer_mnist"]())
    names = ["patch_embed.proj_lif2", "patch_embed.proj_lif3", "patch_embed.rpe_lif"]
    seen = record(model, names, torch.rand(1, 1, 28, 28))
    assert [tuple(x.shape[-2:]) for x, _ in seen.values()] == [(28, 28), (14, 14), (7, 7)]


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> np.ndarray:
    """Scaled attention of one step and sample, [N, C] each, head by head; channel c is of head c // (C / heads)."""
    width = q.shape[1] // heads
    q, k, v = (x.numpy().astype(np.int64) for x in (q, k, v))
    out = np.zeros(q.shape)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        out[:, part] = (q[:, part] @ k[:, part].T) @ v[:, part] / 8
    return out


@pytest.mark.parametrize(("name", "block"), [("qkformer_mnist", "stage2.0.ssa"), ("spikformer_mnist", "block.0.attn")])
def test_spiking_self_attention_is_q_kt_v_over_eight(name: str, block: str) -> None:
    layers = [f"{block}.{part}_lif" for part in ("q", "k", "v", "attn")]
    seen = record(lively(FACTORIES[name]()), layers, torch.rand(2, 1, 28, 28))
    q, k, v, out = (seen[layer][layer.endswith("attn_lif") ^ 1] for layer in layers)
    if name.startswith("qkformer"):
        q, k, v, out = (x.transpose(-1, -2) for x in (q, k, v, out))
    assert q.mean() > 0.05
    for step, sample in product(range(4), range(2)):
        spikes = (x[step, sample] for x in (q, k, v))
        np.testing.assert_array_equal(out[step, sample].numpy(), attention(*spikes, heads=8))


def test_token_attention_lets_k_pass_where_q_fires() -> None:
    block = "stage1.0.tssa"
    layers = [f"{block}.{part}" for part in ("q_lif", "k_lif", "attn_lif", "proj_conv")]
    seen = record(lively(FACTORIES["qkformer_mnist"]()), layers, torch.rand(2, 1, 28, 28))
    (_, q), (_, k), (counts, mask), (passed, _) = (seen[layer] for layer in layers)
    q, k = (x.reshape(4, 2, 8, 4, 196) for x in (q, k))
    assert torch.equal(counts, q.sum(3, keepdim=True))
    assert torch.equal(passed.reshape(4, 2, 8, 4, 196), k * mask)
    assert 0 < mask.mean() < 1


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (lambda: QKFormerConfig(dims=(90, 192, 384), depths=(1, 2), steps=0), ["depths", "dims[0]", "steps"]),
        (lambda: SpikformerConfig(dim=100, heads=12, pools=(True,)), ["dim", "dim", "pools"]),  # type: ignore[arg-type]
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(make, fields: list[str]) -> None:  # noqa: ANN001
    with pytest.raises(UsageError) as caught:
        make()
    assert [finding.layer for finding in caught.value.findings] == fields


def test_every_stage_may_keep_its_map() -> None:
    model = lively(
        Spikformer(SpikformerConfig(image_size=8, dim=16, depth=1, heads=2, pools=(True, False, False, True)))
    )
    seen = record(
        model, ["patch_embed.proj_lif", "patch_embed.proj_lif3", "patch_embed.rpe_lif"], torch.rand(1, 3, 8, 8)
    )
    assert [x.shape[-1] for x, _ in seen.values()] == [8, 4, 2]
