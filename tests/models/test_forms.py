"""Every form of the official code: maps and counts inside, and the same integers on two backends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import neurodeploy as nd
from neurodeploy.errors import UsageError
from neurodeploy.models import QKFormerConfig, SpikformerConfig, calibrate_norms, spread_norms
from tests.models.small import FORMS
from tests.models.test_forward import attention, record


def samples(model: nn.Module, count: int, seed: int = 5) -> Tensor:
    """Pixels in [0, 1], or small counts of events."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(count, *model.config.input_shape, generator=generator)
    return (values * 3).floor() if model.config.events else values


def lively(form: str) -> nn.Module:
    torch.manual_seed(3)
    model = spread_norms(FORMS[form](), seed=1)
    return calibrate_norms(model, samples(model, 8))


# where a neuron's map stands after the pools in front of it; QKFormer pools first, Spikformer behind the neuron
MAPS = {
    "qkformer_imagenet": {
        "patch_embed1.proj_lif": 16,
        "patch_embed1.proj1_lif": 8,
        "patch_embed1.proj2_lif": 8,
        "patch_embed1.proj_res_lif": 8,
        "patch_embed2.proj3_lif": 4,
        "patch_embed2.proj4_lif": 4,
        "patch_embed3.proj_res_lif": 2,
        "stage3.0.mlp.fc1_lif": 2,
    },
    "qkformer_dvs": {
        "patch_embed1.proj_lif": 32,
        "patch_embed1.proj1_lif": 16,
        "patch_embed1.proj2_lif": 8,
        "patch_embed1.proj3_lif": 4,
        "patch_embed1.proj_res_lif": 4,
        "patch_embed2.proj_lif": 4,
        "patch_embed2.proj4_lif": 2,
    },
    "spikformer_imagenet": {
        "patch_embed.proj_lif": 32,
        "patch_embed.proj_lif3": 4,
        "patch_embed.rpe_lif": 2,
        "block.1.mlp.fc2_lif": 2,
    },
    "spikformer_dvs": {"patch_embed.proj_lif": 32, "patch_embed.proj_lif3": 4, "patch_embed.rpe_lif": 2},
}


@pytest.mark.parametrize("form", MAPS)
def test_maps(form: str) -> None:
    model = lively(form)
    seen = record(model, list(MAPS[form]), samples(model, 2))
    assert {name: out.shape[-1] for name, (_, out) in seen.items()} == MAPS[form]


@pytest.mark.parametrize("form", FORMS)
def test_samples_become_logits(form: str) -> None:
    model = lively(form)
    with torch.no_grad():
        assert model(samples(model, 2)).shape == (2, 3)


@pytest.mark.parametrize(
    ("form", "block", "divisor"),
    [
        ("qkformer_imagenet", "stage3.0.attn", 8),
        ("spikformer_imagenet", "block.0.attn", 8),
        ("spikformer_dvs", "block.0.attn", 4),
    ],
)
def test_attention_neurons_see_q_kt_v_over_a_constant(form: str, block: str, divisor: int) -> None:
    model = lively(form)
    layers = [f"{block}.{part}_lif" for part in ("q", "k", "v", "attn")]
    seen = record(model, layers, samples(model, 8))
    q, k, v, seen_by_neuron = (seen[layer][layer.endswith("attn_lif") ^ 1].transpose(-1, -2) for layer in layers)
    spikes = (x.flatten(0, 1) for x in (q, k, v))
    wanted = [attention(*each, heads=2) * 8 / divisor for each in zip(*spikes, strict=True)]
    assert np.any(wanted)
    np.testing.assert_array_equal(seen_by_neuron.flatten(0, 1).numpy(), np.stack(wanted))


@pytest.mark.parametrize("form", ["qkformer_dvs", "spikformer_dvs"])
def test_frames_of_events_are_not_repeated(form: str) -> None:
    model = lively(form)
    first = "patch_embed1.proj_conv" if form.startswith("qkformer") else "patch_embed.proj_conv"
    events = samples(model, 2)
    seen = record(model, [first], events)[first][0]
    assert torch.equal(seen.unflatten(0, (model.config.steps, 2)).transpose(0, 1), events)


@pytest.mark.parametrize("form", FORMS)
def test_reference_and_onnx_compute_the_same(form: str) -> None:
    pytest.importorskip("onnxruntime")
    model = lively(form)
    calibration = samples(model, 8).numpy()
    deployed = nd.compile(model, calibration[:1], calibration=calibration)
    nd.compare(deployed, samples(model, 4, seed=6).numpy(), ("reference", "onnx")).require_equal()
    assert np.any(deployed.run(calibration[:1]).logits)


@pytest.mark.parametrize("config", [QKFormerConfig, SpikformerConfig])
def test_an_unknown_dialect_is_refused(config: type[QKFormerConfig | SpikformerConfig]) -> None:
    with pytest.raises(UsageError) as caught:
        config(dialect="mnist")
    assert [finding.layer for finding in caught.value.findings] == ["dialect"]
