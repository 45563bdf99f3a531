"""Delays of the network on the chip: what would arrive in the next sample is kept out, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.reference import run, run_mapped
from neurodeploy.errors import DoesNotFitError, UnsupportedModelError
from neurodeploy.ir.graph import Graph, Node, tensor
from neurodeploy.ir.mapped import SparseWeights
from neurodeploy.ir.passes import remove_dead
from neurodeploy.mapping import lower, symbolic
from tests.delayed_graphs import channels, pixels
from tests.mapping.test_custom import attention
from tests.mapping.test_lower import assert_equal_runs

CASES = [(1, (0, 1, 2)), (4, (0, 1, 3)), (4, (2, 2, 2)), (4, (9, 0, 4)), (4, (7, 9, 4)), (9, (8, 5, 0))]


def graph_of(steps: int, delays: tuple[int, ...], graded: bool = False) -> Graph:
    return remove_dead(channels(steps, delays, graded))


@pytest.mark.parametrize(("steps", "delays"), CASES)
@pytest.mark.parametrize("graded", [False, True])
def test_equals_the_quantized_graph(steps: int, delays: tuple[int, ...], graded: bool) -> None:
    graph = graph_of(steps, delays, graded)
    assert_equal_runs(graph, pixels(graph))


def test_long_delays_wait_in_relays() -> None:
    graph = graph_of(140, (130, 64, 1))
    mapped = lower(graph)
    assert any("/delay63" in p.name for p in mapped.populations)
    assert_equal_runs(graph, pixels(graph, 2))


def test_without_the_gate_samples_would_meet() -> None:
    """The test graphs' neurons fire in their last steps, so that the tests above show what the gate does."""
    graph = graph_of(4, (0, 1, 3))
    mapped = lower(graph)
    (gate,) = (c for c in mapped.crossbars if c.source == "late/due" and c.target == "late")
    open_always = tuple(
        replace(p, bias_mant=np.zeros((), np.int64)) if p.name == "late/due" else p for p in mapped.populations
    )
    assert isinstance(gate.weights, SparseWeights)
    images = pixels(graph)
    wanted, given = run(graph, images, "all"), run_mapped(replace(mapped, populations=open_always), images, "all")
    assert (wanted.spikes["spikes"] == given.spikes["spikes"]).all()
    assert (wanted.spikes["next"] != given.spikes["next"]).any()


def test_other_orders_and_single_elements() -> None:
    """Delays of single elements, of a value whose views have no single stride an axis."""
    graph = graph_of(5, (0, 0, 0))
    rng = np.random.default_rng(3)
    order = Node("permute", "turned", ("spikes",), {"axes": (2, 0, 1)})
    rows = Node("reshape", "rows", ("turned",), {"shape": (9, 4)})
    late = Node("delay", "late", ("rows",), {}, {"delay": tensor(rng.integers(0, 7, (9, 4)), np.int16)})
    back = Node("reshape", "image", ("late",), {"shape": (3, 4, 3)})
    others = {"mixed": replace(graph.by_name["mixed"], inputs=("image",)), "late": late}
    nodes = [others.get(node.name, node) for node in graph.nodes]
    assert_equal_runs(graph.with_nodes([*nodes, order, rows, back]), pixels(graph))


def test_every_element_that_arrives_has_one_synapse_and_its_gate() -> None:
    mapped, network = lower(graph_of(4, (0, 9, 3))), symbolic.lower(graph_of(4, (0, 9, 3)))
    counts = [s.nonzero for s in network.inputs("late")]
    assert counts == [s.count for s in network.inputs("late")] == [12, 12, 36]
    assert sum(c.weights.weights.size for c in mapped.crossbars if c.target == "late") == 60  # type: ignore[union-attr]
    assert {p.name: p.size for p in mapped.populations if p.name.startswith("late/")} == {"late/tick": 1, "late/due": 3}


def test_no_delay_costs_nothing() -> None:
    assert not any(p.name.startswith("late") for p in lower(graph_of(4, (0, 0, 0))).populations)


def test_what_the_gate_cannot_count_is_refused() -> None:
    with pytest.raises(DoesNotFitError, match=r"ND-M154 late[^\n]*\n.*at most 1000 steps"):
        symbolic.lower(graph_of(1100, (0, 1001, 3)))
    symbolic.lower(graph_of(1100, (0, 1000, 3)))


def test_streamed_attention_has_no_steps_of_the_network() -> None:
    graph = attention(3, 2)
    late = Node("delay", "late", ("a1.f",), {}, {"delay": tensor(np.ones((4, 1)), np.int16)})
    reader = graph.by_name["p1.c"]
    nodes = [replace(n, inputs=("late",)) if n is reader else n for n in graph.nodes]
    with pytest.raises(UnsupportedModelError, match="delays of the network"):
        lower(graph.with_nodes([*nodes, late]), "stream", "custom")
