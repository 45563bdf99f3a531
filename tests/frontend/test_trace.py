"""The traced graph computes what the model computes, in every spike, and its text is that of the golden files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurodeploy.frontend import trace
from neurodeploy.ir.graph import Graph, Stage
from neurodeploy.ir.text import to_text
from neurodeploy.ir.types import ValueType
from neurodeploy.ir.verify import types, verify
from neurodeploy.models import qkformer_mnist, spikformer_mnist
from tests.frontend.small import (
    Containers,
    Events,
    Layers,
    Net,
    Neurons,
    interpret,
    lively,
    tiny_qkformer,
    tiny_spikformer,
)

GOLDEN = Path(__file__).parent / "golden"
TRANSFORMERS: dict[str, Callable[[], nn.Module]] = {"qkformer": tiny_qkformer, "spikformer": tiny_spikformer}


def recorded(model: nn.Module, frames: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The model's logits and the spikes of each neuron, for one sample."""
    spikes: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, path=path: spikes.__setitem__(path, out))
        for path, module in model.named_modules()
        if "LIFNode" in type(module).__name__ or type(module).__name__ == "IFNode"
    ]
    with torch.no_grad():
        logits = model(frames[None])
    for hook in hooks:
        hook.remove()
    return logits[0], spikes


def readings(spikes: Tensor) -> list[Tensor]:
    """[T, *shape] in all the ways in which views may have moved past a neuron."""
    if spikes.ndim != 4:
        return [spikes]
    heads_last = [spikes.transpose(2, 3).flatten(1, 2), spikes.transpose(1, 2).flatten(2, 3)]
    return [spikes, spikes.flatten(1, 2), *heads_last]


def same_spikes(ours: Tensor, theirs: Tensor) -> bool:
    """Whether two layers spike alike, up to a permutation that leaves whole axes together."""
    flat = theirs.reshape(len(theirs), -1)
    tried = [way for first in readings(ours) for way in (first, first.transpose(1, -1))]
    return any(torch.equal(way.reshape(len(way), -1), flat) for way in tried)


def assert_equal_run(model: nn.Module, frames: Tensor) -> Graph:
    model = model.double()
    graph = trace(model, frames[None])
    logits, spikes = recorded(model, frames)
    values = interpret(graph, frames)
    assert torch.allclose(values[graph.output][0], logits, rtol=1e-12, atol=1e-12)
    neurons = [node.name for node in graph.of("neuron")]
    assert set(neurons) == set(spikes)
    for name in neurons:
        assert same_spikes(values[name], spikes[name]), name
        assert 0 < spikes[name].mean() < 1, f"{name} is silent or saturated: the test would see little"
    return graph


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("seed", range(3))
def test_transformers_equal_the_model(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    assert_equal_run(lively(TRANSFORMERS[name](), seed), torch.rand(1, 8, 8, dtype=torch.float64) * 2)


@pytest.mark.parametrize("factory", [Net, Neurons, Layers, Containers])
def test_single_layers_equal_the_model(factory: Callable[[], nn.Module]) -> None:
    torch.manual_seed(1)
    assert_equal_run(lively(factory()), torch.rand(1, 4, 4, dtype=torch.float64) * 2)


def test_events_equal_the_model() -> None:
    torch.manual_seed(2)
    graph = assert_equal_run(lively(Events()), torch.rand(5, 1, 4, 4, dtype=torch.float64) * 2)
    assert graph.steps == 5
    assert types(graph)["input"].shape == (1, 4, 4)


def stripped(graph: Graph) -> str:
    return re.sub(r"#[0-9a-f]{8}", "", to_text(graph))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_golden_text(name: str) -> None:
    """Ops, names and shapes are fixed; set UPDATE_GOLDEN=1 to write them anew, and read the diff."""
    text, file = stripped(trace(TRANSFORMERS[name](), np.zeros((1, 1, 8, 8)))), GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("factory", [qkformer_mnist, spikformer_mnist])
def test_canonical_form(factory: Callable[[], nn.Module]) -> None:
    """Values of one step, no batch axis, batch norm behind its convolution, neurons on what they threshold."""
    graph = verify(trace(factory().eval(), torch.zeros(3, 1, 28, 28), "digits"))
    assert (graph.name, graph.stage, graph.steps) == ("digits", Stage.TRACED, 4)
    assert graph.by_name[graph.output].op == "time_mean"
    shapes = types(graph)
    assert shapes["input"] == ValueType((1, 28, 28))
    assert all(shape.shape[0] != 1 for name, shape in shapes.items() if name != "input")
    assert {graph.by_name[n.inputs[0]].op for n in graph.of("batchnorm")} == {"conv"}
    assert {graph.by_name[n.inputs[0]].op for n in graph.of("neuron")}.isdisjoint({"reshape", "permute"})
    assert {graph.by_name[n.inputs[0]].op for n in graph.of("permute")} <= {"reshape", "neuron"}
    modules = dict(factory().named_modules())
    assert all(node.name in modules for op in ("neuron", "conv", "batchnorm", "max_pool") for node in graph.of(op))


def test_every_node_has_a_source() -> None:
    graph = trace(tiny_spikformer(), torch.zeros(1, 1, 8, 8))
    wanted = {"neurodeploy/models/blocks.py", "neurodeploy/models/spikformer.py"}
    assert {node.source.file for node in graph.nodes if node.op != "input"} == wanted
    lines = Path("neurodeploy/models/spikformer.py").resolve().read_text(encoding="utf-8").splitlines()
    scale = next(node for node in graph.of("scale"))
    assert scale.source.path == "block.0.attn"
    assert "SSA_SCALE" in lines[scale.source.line - 1]


def test_tracing_twice_gives_the_same_graph() -> None:
    model = tiny_qkformer()
    example = torch.zeros(2, 1, 8, 8)
    assert to_text(trace(model, example)) == to_text(trace(model, example.numpy()))


def test_only_the_first_sample_counts() -> None:
    model = tiny_qkformer()
    texts = {to_text(trace(model, torch.rand(n, 1, 8, 8))) for n in (1, 3)}
    assert len(texts) == 1


def test_the_model_stays_as_it_was() -> None:
    model = tiny_spikformer()
    model.block[0].train()  # a flag that differs must differ afterwards
    model(torch.rand(2, 1, 8, 8))  # membranes that are not at rest
    model.block[0].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modules = {path: id(module) for path, module in model.named_modules()}
    membrane = {path: m.v.clone() for path, m in model.named_modules() if torch.is_tensor(getattr(m, "v", None))}
    pointers = {key: value.data_ptr() for key, value in model.state_dict().items()}
    trace(model, torch.zeros(1, 1, 8, 8))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert {key: value.data_ptr() for key, value in model.state_dict().items()} == pointers
    assert {path: id(module) for path, module in model.named_modules()} == modules
    assert not any(module.training for module in model.modules())
    assert membrane
    assert all(torch.equal(model.get_submodule(path).v, v) for path, v in membrane.items())


def test_nothing_in_a_graph_can_be_written() -> None:
    graph = trace(tiny_qkformer(), torch.zeros(1, 1, 8, 8))
    assert not any(array.flags.writeable for node in graph.nodes for array in node.tensors.values())
