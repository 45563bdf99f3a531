"""What a mapped graph must hold before it becomes Lava processes: Lava itself enforces next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import networkx as nx
import numpy as np

from neurodeploy.errors import Finding, VerifyError
from neurodeploy.ir.mapped import ConvWeights, Crossbar, MappedGraph, Population, apply_views
from neurodeploy.numerics import PROFILES, Profile

PORTS = {"source": set(), "product": {"a_in1", "a_in2"}}
NEXT = "report it as a bug of the mapping: this graph cannot come out of a correct one"


@dataclass(frozen=True)
class Rule:
    """A rule of a graph's part: what is needed, and whether it holds."""

    code: str
    need: str
    holds: bool
    have: object


def check(graph: MappedGraph) -> None:
    """Raise VerifyError with every broken rule: names, ports, shapes, depths, widths of weights, delays and biases."""
    profile = PROFILES[graph.profile]
    known = [c for c in graph.crossbars if {c.source, c.target} <= set(graph.by_name)]
    parts = [("", _graph_rules(graph, len(known)))]
    parts += [(population.name, _population_rules(population, known, profile)) for population in graph.populations]
    parts += [(crossbar.name, _crossbar_rules(crossbar, graph, profile)) for crossbar in known]
    broken = [
        Finding(rule.code, name, rule.need, str(rule.have), NEXT)
        for name, rules in parts
        for rule in rules
        if not rule.holds
    ]
    if broken:
        raise VerifyError(broken)


def _graph_rules(graph: MappedGraph, known: int) -> Iterator[Rule]:
    names = [p.name for p in graph.populations] + [c.name for c in graph.crossbars]
    sources = [p.name for p in graph.populations if p.kind == "source"]
    yield Rule("ND-B101", "names that differ", len(names) == len(set(names)), f"{len(names) - len(set(names))} twice")
    yield Rule("ND-B102", "one source", len(sources) == 1, sources)
    yield Rule("ND-B103", "crossbars between populations", known == len(graph.crossbars), "an unknown name")
    yield Rule("ND-B104", "an output population", graph.output in graph.by_name, graph.output)
    wiring = nx.DiGraph()
    wiring.add_edges_from((c.source, c.target) for c in graph.crossbars)
    yield Rule("ND-B105", "no cycle", nx.is_directed_acyclic_graph(wiring), "a cycle")
    lost = [name for name, (population, _) in graph.views.items() if population not in graph.by_name]
    yield Rule("ND-B106", "views of populations", not lost, lost)


def _population_rules(p: Population, crossbars: list[Crossbar], profile: Profile) -> Iterator[Rule]:
    ports = {c.port for c in crossbars if c.target == p.name}
    yield Rule("ND-B110", "every input port connected", ports == PORTS.get(p.kind, {"a_in"}), sorted(ports))
    yield Rule("ND-B111", "vth in 17 bits", 0 <= p.vth <= profile.threshold_max, p.vth)
    yield Rule("ND-B112", "dv in 12 bits", 0 <= p.dv < profile.decay_unit, p.dv)
    half = 1 << (profile.bias_bits - 1)
    low, high = int(p.bias_mant.min(initial=0)), int(p.bias_mant.max(initial=0))
    yield Rule("ND-B113", f"bias mantissa in {profile.bias_bits} bits", -half <= low <= high < half, (low, high))
    yield Rule("ND-B114", "bias exponent in 0..7", 0 <= p.bias_exp <= profile.bias_exponent_max, p.bias_exp)


def _crossbar_rules(c: Crossbar, graph: MappedGraph, profile: Profile) -> Iterator[Rule]:
    source, target = graph.by_name[c.source], graph.by_name[c.target]
    depth = source.depth + 1 + c.delay
    yield Rule("ND-B120", f"a target at depth {depth}", target.depth == depth, target.depth)
    yield Rule("ND-B121", f"delay in 0..{profile.delay_max}", 0 <= c.delay <= profile.delay_max, c.delay)
    weights = c.weights.weight if isinstance(c.weights, ConvWeights) else c.weights.weights
    half = 1 << (profile.weight_bits - 1)
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    yield Rule("ND-B122", f"weights in {profile.weight_bits} bits", -half <= low <= high < half, (low, high))
    if isinstance(c.weights, ConvWeights):
        yield from _conv_rules(c.weights, c.delay, source, target)
        return
    size = target.size * source.size
    pairs = c.weights.rows * source.size + c.weights.cols
    inside = pairs.size == 0 or (pairs.min() >= 0 and pairs.max() < size and c.weights.cols.max() < source.size)
    yield Rule("ND-B123", "synapses between existing neurons", bool(inside), "an index outside")
    yield Rule("ND-B124", "each synapse once", np.unique(pairs).size == pairs.size, "a synapse twice")
    yield Rule("ND-B125", "an exponent of 0 or more", c.weights.exponent >= 0, c.weights.exponent)


def _conv_rules(weights: ConvWeights, delay: int, source: Population, target: Population) -> Iterator[Rule]:
    yield Rule("ND-B126", "no delay on a convolution", delay == 0, delay)
    shape = apply_views(np.broadcast_to(np.int8(0), source.shape), weights.in_views).shape
    kernel = weights.weight.shape
    fits = len(shape) == 3 and shape[0] == kernel[1] * weights.groups and kernel[0] % weights.groups == 0
    yield Rule("ND-B127", f"{kernel[1] * weights.groups} input channels", fits, shape)
    if not fits:
        return
    out = tuple(
        (n + 2 * pad - k) // stride + 1
        for n, pad, k, stride in zip(shape[1:], weights.padding, kernel[2:], weights.stride, strict=True)
    )
    result = (kernel[0], *out)
    same = prod(result) == target.size
    yield Rule("ND-B128", f"a result of {target.size} neurons", same, result)
    if same:
        views = apply_views(np.broadcast_to(np.int8(0), result), weights.out_views).shape
        yield Rule("ND-B129", f"a result of shape {target.shape}", views == target.shape, views)
