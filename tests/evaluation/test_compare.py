"""Equal runs are equal with the number of values; a planted defect is named exactly, among 20 random ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.api import CompiledModel, compare
from neurodeploy.backends.reference import run
from neurodeploy.backends.result import RunResult
from neurodeploy.errors import BackendsDifferError, ExitCode
from neurodeploy.evaluation import Comparison, compare_runs, joined
from neurodeploy.ir.graph import Graph
from neurodeploy.quantize import quantize
from tests.traced_graphs import qkformer

SAMPLES = 5


@pytest.fixture(scope="module")
def graph() -> Graph:
    images = np.random.default_rng(1).random((8, 1, 8, 8), np.float32)
    return quantize(qkformer(), images)


@pytest.fixture(scope="module")
def result(graph: Graph) -> RunResult:
    images = np.random.default_rng(2).random((SAMPLES, 1, 8, 8), np.float32)
    return run(graph, images, probes="all")


def copied(result: RunResult, backend: str = "other") -> RunResult:
    spikes = {name: array.copy() for name, array in result.spikes.items()}
    membrane = {name: array.copy() for name, array in result.membrane.items()}
    return replace(result, backend=backend, logits=result.logits.copy(), spikes=spikes, membrane=membrane)


def compared(graph: Graph, *runs: RunResult, start: int = 0) -> Comparison:
    order = {node.name: str(node.source) for node in graph.of("lif")}
    return compare_runs(runs, order, graph.output, start)


def test_equal_runs_say_how_many_values_were_compared(graph: Graph, result: RunResult) -> None:
    comparison = compared(graph, result, copied(result, "a"), copied(result, "b"))
    neurons = sum(array.size for array in result.spikes.values())
    assert comparison.equal
    assert comparison.require_equal() is comparison
    assert comparison.samples == SAMPLES
    assert comparison.values == {"spikes": 2 * neurons, "membranes": 2 * neurons, "logits": 2 * result.logits.size}
    assert comparison.layers == tuple(node.name for node in graph.of("lif"))


def flip_spike(array: RunResult, layer: str, index: tuple[int, ...]) -> None:
    array.spikes[layer][index] ^= 1


def move_membrane(array: RunResult, layer: str, index: tuple[int, ...]) -> None:
    array.membrane[layer][index] += 1


PLANTS: dict[str, Callable[[RunResult, str, tuple[int, ...]], None]] = {
    "spike": flip_spike,
    "membrane": move_membrane,
}


@pytest.mark.parametrize("seed", range(20))
def test_planted_defects_first_one_is_named(graph: Graph, result: RunResult, seed: int) -> None:
    """Three defects in random places: the one that happens first is found, with both its values."""
    rng = np.random.default_rng(seed)
    layers, broken = [node.name for node in graph.of("lif")], copied(result)
    planted = []
    for _ in range(3):
        place, quantity = int(rng.integers(len(layers))), str(rng.choice(["spike", "membrane"]))
        index = tuple(int(rng.integers(n)) for n in result.spikes[layers[place]].shape)
        PLANTS[quantity](broken, layers[place], index)
        planted.append(((index[0], index[1], place, ["spike", "membrane"].index(quantity), index[2:]), quantity))
    (sample, step, place, _, neuron), quantity = min(planted)
    found = compared(graph, result, broken, start=100).divergence
    assert found is not None
    index = (sample, step, *neuron)
    pair = [(r.spikes if quantity == "spike" else r.membrane)[layers[place]][index] for r in (result, broken)]
    assert (found.sample, found.step, found.layer, found.quantity) == (100 + sample, step, layers[place], quantity)
    assert (found.neuron, found.values, found.backends) == (neuron, tuple(pair), ("reference", "other"))
    assert found.source == str(graph.by_name[layers[place]].source)


def test_logits_come_after_the_last_step_of_their_sample(graph: Graph, result: RunResult) -> None:
    broken, layer = copied(result), graph.of("lif")[-1].name
    broken.logits[2, 1] += 5
    broken.spikes[layer][3, 0] ^= 1
    found = compared(graph, result, broken).divergence
    assert found is not None
    assert (found.quantity, found.layer, found.sample, found.step) == ("logit", graph.output, 2, None)
    assert found.neuron == (1,)
    assert found.values == (int(result.logits[2, 1]), int(result.logits[2, 1]) + 5)
    broken.membrane[layer][2, -1] += 1
    found = compared(graph, result, broken).divergence
    assert found is not None
    assert (found.quantity, found.sample, found.step) == ("membrane", 2, graph.steps - 1)


def test_first_of_a_chain_is_named_with_its_backend(graph: Graph, result: RunResult) -> None:
    late, early, layer = copied(result, "late"), copied(result, "early"), graph.of("lif")[0].name
    late.spikes[layer][1, 0] ^= 1
    early.spikes[layer][0, 1] ^= 1
    found = compared(graph, result, late, early).divergence
    assert found is not None
    assert found.backends == ("reference", "early")


def test_require_equal_raises_with_the_finding(graph: Graph, result: RunResult) -> None:
    broken, layer = copied(result), graph.of("lif")[1].name
    broken.membrane[layer][4, 2].flat[0] = -7
    with pytest.raises(BackendsDifferError, match=r"sample 4, step 2") as caught:
        compared(graph, result, broken).require_equal()
    assert caught.value.exit_code == ExitCode.DIFFERS
    assert [f.layer for f in caught.value.findings] == [layer]
    assert "-7 in other" in caught.value.findings[0].have


def test_missing_layer_and_wrong_shape_are_never_equal(graph: Graph, result: RunResult) -> None:
    broken, (first, second, *_) = copied(result), (node.name for node in graph.of("lif"))
    broken = replace(broken, spikes={k: v for k, v in broken.spikes.items() if k != first})
    broken.membrane[second] = broken.membrane[second][:, :1]
    with pytest.raises(BackendsDifferError) as caught:
        compared(graph, result, broken)
    assert {(f.code, f.layer) for f in caught.value.findings} == {("ND-V011", first), ("ND-V011", second)}


def test_joined_adds_samples_values_and_seconds(graph: Graph, result: RunResult) -> None:
    part = compared(graph, result, copied(result))
    whole = joined([part, part])
    assert (whole.samples, whole.equal) == (2 * SAMPLES, True)
    assert whole.values["spikes"] == 2 * part.values["spikes"]
    assert whole.seconds["reference"] == pytest.approx(2 * part.seconds["reference"])


def test_comparison_is_plain_json(graph: Graph, result: RunResult) -> None:
    broken = copied(result)
    broken.logits[0, 0] += 1
    document = json.loads(json.dumps(compared(graph, result, broken).as_json()))
    assert document["equal"] is False
    assert document["divergence"]["quantity"] == "logit"


def test_a_layer_that_nothing_reads_may_be_left_out(graph: Graph, result: RunResult) -> None:
    """The mapped network is without it; one that is read is missed by the same comparison."""
    order = {node.name: "" for node in graph.of("lif")}
    gone = [*order][1]
    other = copied(result)
    spikes, membrane = ({k: v for k, v in held.items() if k != gone} for held in (other.spikes, other.membrane))
    without = replace(other, spikes=spikes, membrane=membrane)
    found = joined([compare_runs((result, without), order, graph.output, 0, {gone})])
    assert (found.equal, found.left_out) == (True, (gone,))
    assert gone not in found.layers
    assert found.values["spikes"] == found.values["membranes"] == sum(array.size for array in spikes.values())
    assert f"nothing reads {gone}: not compared" in str(found)
    with pytest.raises(BackendsDifferError, match="ND-V011"):
        compare_runs((result, without), order, graph.output)
    assert compare_runs((result, other), order, graph.output, 0, {gone}).left_out == ()


def test_the_mapped_network_is_without_what_nothing_reads(graph: Graph) -> None:
    dead = replace(graph, nodes=(*graph.nodes, replace(graph.of("lif")[0], name="unused")))
    images = np.random.default_rng(2).random((2, 1, 8, 8), np.float32)
    found = compare(CompiledModel(dead), images, ("reference", "onnx", "mapped"))
    assert (found.equal, found.left_out) == (True, ("unused",))
    assert compare(CompiledModel(dead), images, ("reference", "onnx")).left_out == ()
