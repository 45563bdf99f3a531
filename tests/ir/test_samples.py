"""Samples are legal and proven, and there is a sampler for every op; random graphs reach every corner."""

from __future__ import annotations

import pytest

from neurodeploy.ir.artefact.functions import BODIES, body_for
from neurodeploy.ir.graph import ENCODERS, Graph, Stage
from neurodeploy.ir.ops import OPS
from neurodeploy.ir.proof import require_proof
from neurodeploy.ir.samples import SAMPLERS, random_graph, random_images, sample
from neurodeploy.ir.text import to_text
from neurodeploy.ir.verify import types
from neurodeploy.numerics import INT32, LOIHI_LAVA

QUANTIZED_OPS = {name for name, op in OPS.items() if Stage.QUANTIZED in op.stages}


def test_every_quantized_op_has_a_sampler() -> None:
    assert set(SAMPLERS) == QUANTIZED_OPS


def test_every_quantized_op_has_a_body_in_the_file() -> None:
    assert {body.op for body in BODIES} == QUANTIZED_OPS


@pytest.mark.parametrize("op", sorted(QUANTIZED_OPS))
def test_samples_hold_the_op_and_are_proven(op: str) -> None:
    for seed in range(10):
        graph = sample(op, seed)
        assert graph.of(op)
        require_proof(graph)


GRAPHS = [random_graph(seed) for seed in range(300)]


def test_random_graphs_are_proven() -> None:
    bounds = [bound for graph in GRAPHS for bound in require_proof(graph)]
    assert len(bounds) > len(GRAPHS)
    assert all(bound.holds for bound in bounds)


def test_random_graphs_of_the_cpu_profile_are_proven_and_wide() -> None:
    bounds = [bound for seed in range(100) for bound in require_proof(random_graph(seed, INT32))]
    chip = {"activation": LOIHI_LAVA.activation_max, "membrane": LOIHI_LAVA.state_max}
    for quantity, limit in chip.items():
        assert any(bound.interval.magnitude > limit for bound in bounds if bound.quantity == quantity)


def test_same_seed_same_graph() -> None:
    assert to_text(random_graph(11)) == to_text(random_graph(11))
    assert to_text(random_graph(11)) != to_text(random_graph(12))


def bodies(graph: Graph) -> set[int]:
    known = types(graph)
    return {BODIES.index(body_for(n, tuple(known[i] for i in n.inputs))) for n in graph.nodes}


def test_random_graphs_use_every_body() -> None:
    assert set().union(*map(bodies, GRAPHS)) == set(range(len(BODIES)))


def test_random_graphs_vary() -> None:
    lifs = [node for graph in GRAPHS for node in graph.of("lif")]
    convs = [node for graph in GRAPHS for node in graph.of("conv")]
    assert {graph.steps for graph in GRAPHS} == set(range(1, 7))
    assert {node.tensors["weight"].ndim for node in convs} == {2, 3, 4}
    assert any(node.integer("groups") > 1 for node in convs)
    assert {node.integer("lo") < 0 for graph in GRAPHS for node in graph.encoders} == {True, False}
    assert {graph.encoders[0].op for graph in GRAPHS} == set(ENCODERS)
    assert {0, 2048, 4095} <= {node.integer("dv") for node in lifs}
    assert {1, 2048, 4095, None} <= {node.attributes.get("du") for node in lifs}
    assert {node.integer("weight_exp") for node in lifs} >= {0, 1, 2}


def test_random_images_lie_beyond_the_codes_on_both_sides() -> None:
    graph = random_graph(3)
    (node,) = graph.encoders
    codes = random_images(graph, 200, 0) / node.number("step")
    assert codes.min() < node.integer("lo") and codes.max() > node.integer("hi")
