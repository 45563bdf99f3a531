"""SpikingJelly 2.0's own models compile as they are: the trace equals the model, and the backends equal one another."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurodeploy.backends import native, onnx, reference
from neurodeploy.backends.reference import run_mapped
from neurodeploy.errors import DoesNotFitError
from neurodeploy.frontend import trace
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.text import to_text
from neurodeploy.mapping import lower
from neurodeploy.quantize import QuantizeOptions, quantize
from neurodeploy.targets import load_target
from tests.float_graph import run_float
from tests.frontend.small import interpret
from tests.frontend.zoo import ZOO, Blocks, Case, Timed, pictures

RATE = 0.1  # by which the firing rate of a layer of these small networks may differ from the float model's
EXECUTORS = (reference, onnx, native) if native.available() else (reference, onnx)
DIGESTS = {  # of the traced texts, taken on torch 2.3.1 and on torch 2.13.0, which agree
    "spikformer, patch 4": "c59fc1770470b73f",
    "spikformer, patch 16": "769af7e11465f964",
    "spikformer of IF": "41a7a60d806a4a83",
    "qkformer, token": "25deec29cbe95264",
    "qkformer, channel": "35303a330bb53a98",
    "qkformer of PLIF": "ea908aadadc4d42d",
    "maxformer": "eedf54dcf0bc95bf",
    "maxformer, cifar": "99ad015032ffcdf2",
    "spike-driven transformer": "27409cd5772a177f",
    "sew ADD, IF, multi-step": "be5f83fe9d8abb0d",
    "sew AND, LIF, multi-step": "72ad900eecd42370",
    "sew IAND, PLIF, multi-step": "23bcd6582bcc2a9b",
    "sew Bottleneck, ADD, LIF, single-step": "06ae284c398b2000",
    "sew_resnet, IAND, IF, single-step": "0b2d69b84c884d5c",
}
NEURONS = 256  # of a layer at least, for its rate to say something


@cache
def traced(name: str) -> tuple[nn.Module, Graph]:
    """A model in float64, and its trace."""
    case = ZOO[name]
    model = case.model().double()
    return model, trace(model, pictures(1), steps=case.steps)


@cache
def quantized(name: str) -> Graph:
    """Its integers on the chip that it fits."""
    options = QuantizeOptions(8, load_target(ZOO[name].target).arithmetic)
    return quantize(traced(name)[1], pictures(8), options)


def recorded(case: Case, model: nn.Module, image: Tensor) -> tuple[Tensor, dict[str, list[int]]]:
    """The logits of one image as SpikingJelly's examples take them, and each neuron's spikes a step."""
    spikes: dict[str, list[int]] = {}

    def record(path: str, single: bool, out: Tensor) -> None:
        counts = [int(out.sum())] if single else [int(step.sum()) for step in out]
        spikes.setdefault(path, []).extend(counts)

    neurons = {path: module for path, module in model.named_modules() if hasattr(module, "v_threshold")}
    hooks = [
        module.register_forward_hook(lambda m, _, out, path=path: record(path, m.step_mode == "s", out))
        for path, module in neurons.items()
    ]
    with torch.no_grad():
        logits = (model if case.steps is None else Timed(model, case.steps))(image[None])
    for hook in hooks:
        hook.remove()
    return (logits.mean(0) if logits.ndim == 3 else logits)[0], spikes


@pytest.mark.parametrize("name", ZOO)
def test_the_trace_equals_the_model(name: str) -> None:
    model, graph = traced(name)
    image = torch.tensor(pictures(1)[0], dtype=torch.float64)
    logits, spikes = recorded(ZOO[name], model, image)
    values = interpret(graph, image)
    assert torch.allclose(values[graph.output][0], logits, rtol=1e-12, atol=1e-12)
    assert {node.name for node in graph.of("neuron")} == set(spikes)
    for path, counts in spikes.items():
        assert [int(step.sum()) for step in values[path]] == counts, path
        assert 0 < sum(counts) < values[path].numel(), f"{path} is silent or saturated: the test would see little"
    assert all(node.source.file for node in graph.of("conv"))
    cuts = {(node.inputs, *node.attributes.values()) for node in graph.of("slice")}
    assert len(cuts) == len(graph.of("slice"))


@pytest.mark.parametrize("name", ZOO)
def test_the_integers_fire_like_the_model_on_every_backend(name: str) -> None:
    """Single spikes of an untrained network differ by chance, its firing rates do not."""
    graph, images = quantized(name), pictures(2, seed=9)
    run, *others = (backend.run(graph, images, "all") for backend in EXECUTORS)
    assert all(np.array_equal(run.logits, other.logits) for other in others)
    floats = run_float(traced(name)[1], images.astype(np.float64))
    for layer, spikes in run.spikes.items():
        assert all(np.array_equal(spikes, other.spikes[layer]) for other in others), layer
        if layer in floats and spikes[0, 0].size >= NEURONS:  # some make the code of a current that a layer reads
            assert abs(spikes.mean() - floats[layer].mean()) < RATE, layer


@pytest.mark.parametrize("name", [name for name, case in ZOO.items() if case.lowered])
def test_the_lowered_network_is_equal(name: str) -> None:
    graph, images = quantized(name), pictures(1, seed=9)
    assert np.array_equal(run_mapped(lower(graph), images).logits, reference.run(graph, images).logits)


@pytest.mark.parametrize("name", [name for name, case in ZOO.items() if case.target == "cpu"])
def test_what_no_chip_holds_is_told(name: str) -> None:
    with pytest.raises(DoesNotFitError, match="cpu"):
        lower(quantized(name))


@pytest.mark.parametrize("name", ZOO)
def test_text_of_the_traced_graph(name: str) -> None:
    model = ZOO[name].make().eval()
    with torch.no_grad():
        for values in model.state_dict().values():  # numbers that every torch makes alike
            if values.is_floating_point():
                values.copy_((torch.arange(values.numel()) % 7 + 1).reshape(values.shape) / 8)
    text = to_text(trace(model, pictures(1), steps=ZOO[name].steps))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[name]


@pytest.mark.parametrize("cnf", ["ADD", "IAND"])
def test_both_step_modes_make_one_network(cnf: str) -> None:
    """Single-step and multi-step are two ways to run the same layers."""
    graphs = []
    for mode in "sm":
        torch.manual_seed(1)
        graphs.append(trace(Blocks(cnf, "LIF", mode).eval(), pictures(1), steps=3))
    assert to_text(graphs[0]) == to_text(graphs[1])
    assert [graph.metadata["time_loop"] for graph in graphs] == ["single-step", "multi-step"]
    assert [graph.metadata["read_out"][:15] for graph in graphs] == ["mean over T of "] * 2
