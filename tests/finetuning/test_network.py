"""The module computes the graph: every spike, membrane and logit, before training and after; gradients reach all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from spikingjelly.activation_based import surrogate
from torch import nn
from torch.backends import mkldnn, nnpack
from torch.nn import functional as F

from neurodeploy.backends.reference import run
from neurodeploy.errors import UnsupportedModelError, UsageError
from neurodeploy.finetuning import IntegerNetwork, ops
from neurodeploy.finetuning.grids import Bias, Weight
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.proof import prove
from neurodeploy.ir.samples import SAMPLERS, random_graph, random_images, sample
from neurodeploy.numerics import PROFILES
from neurodeploy.quantize import QuantizeOptions, quantize_exactly
from tests.traced_graphs import FAMILIES, pictures

SEEDS = range(24)


def require_equal(network: IntegerNetwork, graph: Graph, images: np.ndarray) -> None:
    """Every spike, membrane and logit of the module is the reference's."""
    wanted, seen = run(graph, images, probes="all"), dict[str, tuple[torch.Tensor, torch.Tensor]]()
    with torch.no_grad():
        logits = network.integers(torch.from_numpy(images), lambda name, *found: seen.update({name: found}))
    assert np.array_equal(logits.numpy(), wanted.logits)
    assert seen.keys() == wanted.spikes.keys()
    for name, (spikes, membranes) in seen.items():
        assert np.array_equal(spikes.transpose(0, 1).numpy(), wanted.spikes[name]), name
        assert np.array_equal(membranes.transpose(0, 1).double().numpy(), wanted.membrane[name]), name


def train(network: IntegerNetwork, images: np.ndarray, steps: int = 3, rate: float = 0.05) -> int:
    """Some steps of Adam; how many rows the projection drew together."""
    optimizer, drawn = torch.optim.Adam(network.groups(rate)), 0
    for _ in range(steps):
        logits = network(torch.from_numpy(images))
        optimizer.zero_grad()
        (F.cross_entropy(logits, torch.zeros(len(images), dtype=torch.long)) - logits.sum()).backward()
        optimizer.step()
        drawn += network.project()
    return drawn


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_are_computed_exactly_before_and_after_training(seed: int, profile: str) -> None:
    graph = random_graph(seed, PROFILES[profile])
    images, network = random_images(graph, 3, seed), IntegerNetwork(graph)
    require_equal(network, graph, images)
    train(network, images)
    tuned = network.integer_graph()
    require_equal(network, tuned, images)
    assert all(bound.holds for bound in prove(tuned))


@pytest.mark.parametrize("op", SAMPLERS)
def test_every_op_is_computed(op: str) -> None:
    for seed in range(4):
        graph = sample(op, seed)
        require_equal(IntegerNetwork(graph), graph, random_images(graph, 2, seed))


@pytest.mark.skipif(not nnpack.is_available(), reason="a PyTorch without NNPACK")
def test_convolutions_are_exact_where_pytorch_has_no_onednn() -> None:
    """There it takes NNPACK for 16 samples or more, whose Winograd transforms are not."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(2, 8, 16, 14, 14, generator=generator) < 0.3).float()
    weight = torch.randint(-127, 128, (8, 16, 3, 3), generator=generator).float()
    node = Node("conv", "conv", ("x",), {"stride": (1, 1), "padding": (1, 1), "groups": 1})
    with mkldnn.flags(enabled=False), nnpack.flags(enabled=True):
        assert torch.equal(ops.conv(node, x, weight).double(), ops.conv(node, x.double(), weight.double()))


def tiny(family: str = "qkformer", bits: int = 4) -> IntegerNetwork:
    graph, exact = quantize_exactly(FAMILIES[family](), pictures(8), QuantizeOptions(weight_bits=bits))
    return IntegerNetwork(graph, exact)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_start_as_they_were_quantized_and_stay_what_they_deploy(family: str, bits: int) -> None:
    network, images = tiny(family, bits), pictures(4)
    require_equal(network, network.graph, images)
    train(network, images, rate=0.02)
    tuned = network.integer_graph()
    require_equal(network, tuned, images)
    changed = [
        node.name
        for old, node in zip(network.graph.nodes, tuned.nodes, strict=True)
        if any(not np.array_equal(old.tensors[key], node.tensors[key]) for key in node.tensors)
    ]
    assert len(changed) > len(tuned.nodes) / 8


def test_gradients_reach_every_layer_that_spikes_reach() -> None:
    network, images = tiny(bits=8), pictures(6)
    alive = set[str]()
    network.integers(torch.from_numpy(images), lambda name, spikes, _: alive.update([name] if spikes.any() else []))
    F.cross_entropy(network(torch.from_numpy(images)), torch.arange(6) % 3).backward()
    gradients = {name: value.grad for name, value in network.named_parameters()}
    assert alive
    assert all(gradient is not None and bool(torch.isfinite(gradient).all()) for gradient in gradients.values())
    read = [
        n for n in network.graph.of("conv") if network.graph.by_name[n.inputs[0]].op != "lif" or n.inputs[0] in alive
    ]
    weights = {node.name: network.layer(node.name).numbers for node in read}
    assert [name for name, part in weights.items() if not bool(part.latent.grad.any())] == []


def test_latents_are_the_exact_numbers_where_those_round_to_the_integers() -> None:
    graph, exact = quantize_exactly(
        FAMILIES["spikformer"](), pictures(8), QuantizeOptions(weight_bits=8, rounding="nearest")
    )
    network = IntegerNetwork(graph, exact)
    for node in graph.of("conv"):
        part = network.layer(node.name).numbers
        assert isinstance(part, Weight)
        inside = np.abs(exact[node.name] - node.tensors["weight"]) < 0.4
        assert np.allclose(part.latent.detach().numpy()[inside], exact[node.name][inside], rtol=1e-6)


def test_projection_keeps_the_proof_where_training_would_leave_it() -> None:
    network = tiny(bits=8)
    for part in network.learnt():
        part.latent.data *= 40.0
    assert network.project() > 0
    tuned = network.integer_graph()
    assert all(bound.holds for bound in prove(tuned))
    require_equal(network, tuned, pictures(4))
    assert network.project() == 0


def test_bias_takes_the_least_exponent_that_holds_it() -> None:
    bias = Bias(torch.tensor([4095.0, -4096.0]), *bias_choices())
    assert (bias.exponent, bias().tolist()) == (0, [4095.0, -4096.0])
    bias.latent.data[0] = 4096.0
    assert (bias.exponent, bias().tolist()) == (1, [4096.0, -4096.0])


def test_a_bias_that_leaves_the_width_it_was_stored_in_is_deployed_as_it_is() -> None:
    """Profile int32 has mantissas of 30 bits; the quantizer stores those of the start in 16."""
    options = QuantizeOptions(weight_bits=8, profile=PROFILES["int32"])
    network = IntegerNetwork(*quantize_exactly(FAMILIES["qkformer"](), pictures(8), options))
    biases = {
        layer.node.name: layer.numbers
        for layer in (network.layer(node.name) for node in network.graph.of("lif"))
        if isinstance(layer.numbers, Bias) and layer.node.tensors["bias_mant"].dtype == np.int16
    }
    assert biases
    for part in biases.values():
        part.proven = None
        part.latent.data.fill_(40_000.0)
    tuned = network.integer_graph()
    assert {int(tuned.by_name[name].tensors["bias_mant"].max()) for name in biases} == {40_000}
    require_equal(network, tuned, pictures(4))


def test_arrays_and_tensors_are_taken_alike_and_wrong_names_and_shapes_are_named() -> None:
    network, images = tiny(bits=8), pictures(3)
    given = torch.from_numpy(images)
    assert np.array_equal(network.logits(given), network.logits(images))
    assert torch.equal(network.integers(images), network.integers(given))
    with pytest.raises(UsageError, match="ND-B003"):
        network.logits(images[0])
    with pytest.raises(UsageError, match=f"ND-S015(?s:.*){network.graph.of('conv')[0].name}"):
        network.layer("nope")


def bias_choices() -> tuple[object, ...]:
    from neurodeploy.ir.types import signed

    return signed(13), (0, 7), None, 1.0


def test_other_surrogates_of_spikingjelly_give_their_own_gradients() -> None:
    images, found = torch.from_numpy(pictures(3)), []
    graph, exact = quantize_exactly(FAMILIES["qkformer"](), pictures(8))
    for shape in (None, surrogate.Sigmoid(4.0), surrogate.ATan(2.0), Same(alpha=4.0)):
        network = IntegerNetwork(graph, exact, shape)
        network(images).square().sum().backward()
        found.append(next(part.latent.grad for part in network.learnt() if isinstance(part, Weight)))
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[1], found[2])
    assert torch.allclose(found[1], found[3], rtol=1e-3, atol=1e-5)


class Same(surrogate.Sigmoid):
    """Sigmoid by another name, which takes the general way."""


@pytest.mark.parametrize("family", ["qkformer", "spikformer"])
def test_a_surrogate_that_hands_its_gradient_on_changes_it_for_nobody_else(family: str) -> None:
    images, found = torch.from_numpy(pictures(3)), []
    graph, exact = quantize_exactly(FAMILIES[family](), pictures(8))
    for shape in (nn.Identity(), Doubled()):
        network = IntegerNetwork(graph, exact, shape)
        network(images).square().sum().backward()
        found.append([part.latent.grad for part in network.learnt()])
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


class Doubled(nn.Module):
    """The identity, whose gradient is a tensor of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1.0


def test_what_cannot_be_computed_is_named() -> None:
    graph = random_graph(3)
    first = graph.nodes[0]
    odd = replace(first, attributes={**first.attributes}, op="complement")
    lif = next(node for node in graph.nodes if node.op == "lif")
    more = replace(lif, attributes={**lif.attributes, "refractory": 1})
    nodes = tuple({first.name: odd, lif.name: more}.get(node.name, node) for node in graph.nodes)
    with pytest.raises(UnsupportedModelError) as caught:
        IntegerNetwork(replace(graph, nodes=nodes))
    assert [(f.code, f.layer) for f in caught.value.findings] == [("ND-S001", first.name), ("ND-S002", lif.name)]


def test_a_neuron_alone_has_the_gradients_of_spikingjelly() -> None:
    """On currents that no rounding touches, d loss / d current is that of SpikingJelly's LIFNode."""
    from spikingjelly.activation_based import neuron

    from neurodeploy.finetuning.lif import Neuron, fire

    node = Node("lif", "lif", ("x",), {"vth": 64, "dv": 2048, "weight_exp": 0, "bias_exp": 0})
    ours = Neuron.of(node, 3, PROFILES["loihi-lava"], counts=False, surrogate=surrogate.Sigmoid(4.0))
    generator = torch.Generator().manual_seed(0)
    units = torch.randint(-90, 120, (3, 50), generator=generator).double() * 8
    units = torch.where(units % 64 == 0, units + 8, units)  # at the threshold one fires, one does not
    weights = torch.rand(3, 50, generator=generator)
    x = (units / 8).float().requires_grad_()
    spikes, _ = fire(x, torch.zeros(1, 1), ours)
    (spikes * weights).sum().backward()
    float_x = (units / 8 / 64).float().requires_grad_()
    theirs = neuron.LIFNode(2.0, False, 1.0, 0.0, surrogate.Sigmoid(4.0), True, step_mode="m")
    other = theirs(float_x)
    (other * weights).sum().backward()
    assert torch.equal(spikes, other)
    assert torch.allclose(x.grad * 64, float_x.grad, rtol=1e-4, atol=1e-6)
