"""What the observer saw is what the reference computed, and lies within the proof."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from neurodeploy import api
from neurodeploy.evaluation import FiringRates
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.report.page import Observer
from neurodeploy.report.page.attention import Attention, attentions
from tests.report.page_content import deployed
from tests.traced_graphs import FAMILIES, pictures

SAMPLES, SHOWN = 7, (1, 4)


def observed(model: api.CompiledModel, batch: int) -> Observer:
    observer = Observer(model.graph, SHOWN)
    model.run(pictures(SAMPLES), "reference", batch=batch, watch=observer.add)
    return observer


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> api.CompiledModel:
    return deployed(request.param)


@pytest.fixture(scope="module")
def observer(model: api.CompiledModel) -> Observer:
    return observed(model, 3)


def values(graph: Graph, model: api.CompiledModel) -> dict[str, np.ndarray]:
    """Every value of every sample and step: name -> int64 [N, T, *shape]."""
    kept: dict[str, list[np.ndarray]] = {}
    model.run(pictures(SAMPLES), "reference", batch=SAMPLES, watch=lambda n, v: kept.setdefault(n, []).append(v.copy()))
    return {name: np.stack(steps, axis=1) for name, steps in kept.items()}


def test_observed_intervals_lie_within_the_proof(model: api.CompiledModel, observer: Observer) -> None:
    found = observer.intervals
    proven = {(bound.layer, bound.quantity): bound.interval for bound in model.bounds}
    compared = proven.keys() & found.keys()
    assert {quantity for _, quantity in compared} == {
        "membrane",
        "activation",
        "accumulator",
        "input payload",
        "payload",
    }
    assert all(found[key].within(proven[key]) for key in compared)


def test_membranes_before_the_fire_rule_follow_the_written_arithmetic(
    model: api.CompiledModel, observer: Observer
) -> None:
    known = values(model.graph, model)
    for node in model.graph.of("lif"):
        low, high = _membrane(node, known[node.inputs[0]].reshape(SAMPLES, model.graph.steps, -1))
        assert astuple(observer.intervals[node.name, "membrane"]) == (low, high), node.name


def _membrane(node: Node, x: np.ndarray) -> tuple[int, int]:
    """Smallest and largest membrane before the fire rule, neuron by neuron in Python integers."""
    bias = np.asarray(node.tensors["bias_mant"], np.int64) * 2 ** node.integer("bias_exp")
    kept, vth = 4096 - node.integer("dv"), node.integer("vth") * 64
    shape = x.shape[2:]
    spread = np.broadcast_to(bias.reshape(-1), (bias.size,)) if bias.size > 1 else bias.reshape(-1)
    each = np.repeat(spread, shape[0] // spread.size)
    seen: list[int] = []
    for sample in x:
        for neuron, b in enumerate(each):
            v = 0
            for a in sample[:, neuron]:
                decayed = abs(v) * kept // 4096
                v = (decayed if v >= 0 else -decayed) + int(a) * 2 ** node.integer("weight_exp") * 64 + int(b)
                seen.append(v)
                v = 0 if v > vth else v
    return min(seen), max(seen)


def test_other_intervals_are_those_of_the_values(model: api.CompiledModel, observer: Observer) -> None:
    known = values(model.graph, model)
    for (layer, quantity), interval in observer.intervals.items():
        node = model.graph.by_name[layer]
        if quantity == "accumulator":
            span = known[layer]
        elif quantity in ("input payload", "payload"):
            span = known[node.inputs[0]]
        elif quantity == "activation":
            span = known[node.inputs[0]] * 2 ** node.integer("weight_exp")
        else:
            continue
        assert astuple(interval) == (span.min(), span.max())


def test_spikes_are_those_of_the_probes(model: api.CompiledModel, observer: Observer) -> None:
    run = model.run(pictures(SAMPLES), "reference", "all")
    rates = FiringRates()
    rates.add(run)
    for name, entry in observer.spikes().items():
        probed = run.spikes[name].reshape(SAMPLES, model.graph.steps, -1)
        assert entry.rate == rates.rates()[name]
        assert entry.silent == (probed.sum(axis=(0, 1)) == 0).mean()
        assert entry.busiest == probed.mean(axis=(0, 1)).max()
        assert (entry.raster == probed[list(SHOWN)][:, :, list(entry.picked)]).all()


def test_slices_make_no_difference(model: api.CompiledModel, observer: Observer) -> None:
    for batch in (1, SAMPLES):
        other = observed(model, batch)
        assert other.intervals == observer.intervals
        for name, entry in other.spikes().items():
            assert (entry.raster == observer.spikes()[name].raster).all()
        for entry, maps in other.attention().items():
            assert all((maps[place] == observer.attention()[entry][place]).all() for place in SHOWN)


def test_a_token_mask_counts_the_heads_and_steps_that_it_opens() -> None:
    model = deployed("qkformer")
    known = values(model.graph, model)
    mask = known["tssa.attn_lif"]  # [N, T, heads, 1, tokens]
    (entry,) = (entry for entry in attentions(model.graph) if entry.kind == "token mask")
    found = observed(model, 2).attention()[entry]
    assert (entry.layer, entry.grid, tuple(found)) == ("tssa.mul", (4, 4), SHOWN)
    assert all((found[place].reshape(-1) == mask[place].sum(axis=(0, 1, 2))).all() for place in SHOWN)
    assert any(found[place].any() for place in SHOWN)


def test_ssa_sums_the_columns_of_q_kt(model: api.CompiledModel, observer: Observer) -> None:
    known = values(model.graph, model)
    (entry,) = (entry for entry in observer.attention() if entry.kind == "SSA")
    queries, keys = (known[name] for name in ("ssa.q_heads", "ssa.k_split"))
    for place in SHOWN:
        columns = (queries[place] @ keys[place]).sum(axis=(0, 1, 2))  # over T, heads and queries
        assert (observer.attention()[entry][place].reshape(-1) == columns).all()


def test_the_order_of_the_products_makes_no_difference() -> None:
    """Q (K^T V), as QKFormer's code has it, names the same Q and K."""
    graph = deployed().graph
    swap = {"ssa.qk": ("ssa.k_split", "ssa.v_heads"), "ssa.av": ("ssa.q_heads", "ssa.qk")}
    nodes = [Node(n.op, n.name, swap.get(n.name, n.inputs), n.attributes, n.tensors, n.source) for n in graph.nodes]
    other = graph.with_nodes(nodes)
    pairs = [entry.reads for g in (graph, other) for entry in attentions(g) if entry.kind == "SSA"]
    assert pairs == [("ssa.q_heads", "ssa.k_split")] * 2


def test_a_channel_mask_shows_what_passes_it() -> None:
    spikes = np.arange(24).reshape(2, 3, 4)
    entry = Attention("gate", "channel mask", (2, 2), ("gate",), "gate")
    assert entry.tokens(spikes).tolist() == spikes.sum(axis=(0, 1)).tolist()
