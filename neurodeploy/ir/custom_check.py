"""Rules of a mapped graph's custom neurons, and of the phases in which streamed tokens come; part of mapped_check."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neurodeploy.ir.mapped import (
    EVERY,
    KEY,
    PORTS,
    QUERY,
    VALUE,
    ConvWeights,
    Crossbar,
    MappedGraph,
    Population,
    SparseWeights,
    apply_views,
)
from neurodeploy.numerics import NO_MEMORY, Int64

# (part, what is needed, whether it holds, what there is)
Claim = tuple[str, str, bool, object]


def wanted_ports(population: Population, ports: set[str]) -> set[str]:
    """The ports that a population needs: those of a max are as many as it has, at least two, without a gap."""
    if population.kind == "max":
        return set(PORTS[: max(2, len(ports))])
    return {"source": set(), "product": {"a_in1", "a_in2"}}.get(population.kind, {"a_in"})


def custom_claims(graph: MappedGraph) -> Iterator[Claim]:
    """Custom kinds only where they were asked for; what leaks or remembers only where a period lets it wait."""
    yield "", "a period of at least 1", graph.period >= 1, graph.period
    for p in graph.populations:
        allowed = graph.neurons == "custom" or not p.custom
        yield p.name, "a stock neuron, as the network has stock neurons", allowed, p.kind
        if p.kind == "lif":
            yield p.name, "a hold where steps take longer than one", graph.period == 1 or idle(p), p.kind
        if p.kind == "hold":
            yield p.name, "a reset", p.resets, "none"


def idle(p: Population) -> bool:
    """Whether a LIF keeps nothing from one time step to the next (dv of all ones, no memory in u) and has no bias."""
    return p.dv == NO_MEMORY - 1 and p.du == NO_MEMORY and not p.bias_mant.any()


def phase_claims(graph: MappedGraph) -> Iterator[Claim]:
    """Phases lie within the period; only sums and memories hear all of them."""
    for p in graph.populations:
        yield p.name, f"phases that broadcast to {p.shape}", broadcasts(np.shape(p.phase), p.shape), np.shape(p.phase)
        within = bool((p.phase >= EVERY).all() and (p.phase < graph.period).all())
        yield p.name, f"phases in {EVERY}..{graph.period - 1}", within, np.unique(p.phase)[:9]
        mixed = len(np.unique(p.phase == EVERY)) > 1
        yield p.name, "neurons that all hear one phase each, or all hear every one", not mixed, "both"
        every = not mixed and bool((p.phase == EVERY).all())
        hears = p.kind in ("sum", "memory") or (p.kind == "lif" and idle(p))
        yield p.name, "a sum, a memory or a LIF without memory, to hear every phase", not every or hears, p.kind
        yield p.name, "a memory that hears every phase", p.kind != "memory" or every, p.kind


def arrival_claims(graph: MappedGraph) -> Iterator[Claim]:
    """Every synapse delivers in the phase of its target, of a graph whose indices, shapes and phases are sound."""
    for c in graph.crossbars:
        yield c.name, "synapses that deliver in the phase of their target", in_phase(graph, c), f"{c.early} early"
        if graph.by_name[c.target].kind == "memory":
            yield c.name, "a key, a value or a query", _memory_weights(c), "other weights"


def broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to another."""
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(shape[::-1], to[::-1], strict=False))


def in_phase(graph: MappedGraph, c: Crossbar) -> bool:
    """Whether a crossbar delivers in the phases in which its target listens."""
    source, target = graph.by_name[c.source], graph.by_name[c.target]
    try:
        given, heard = _ends(c, source, target)
    except ValueError:
        return False
    if target.kind == "memory":
        first = 0 if (_weights(c) == QUERY).all() else graph.period
        arrival = np.where(given == EVERY, 0, given) + c.early
        return bool((arrival >= first).all() and (arrival < first + np.where(given == EVERY, 1, graph.period)).all())
    if (heard == EVERY).all():
        return c.early == 0
    if (given == EVERY).any():  # a token's result comes with its query, in its phase, and a hold takes no other
        return target.kind == "hold" and c.early == 0 and _remembered(graph, source)
    return bool((given + c.early == heard).all())


def _remembered(graph: MappedGraph, p: Population) -> bool:
    """Whether a population sends what memories answered, and nothing else."""
    return all(graph.by_name[c.source].kind == "memory" for c in graph.crossbars if c.target == p.name)


def _ends(c: Crossbar, source: Population, target: Population) -> tuple[Int64, Int64]:
    """The phases of both ends of each synapse; of a convolution, those of a window beside that of its result."""
    if isinstance(c.weights, SparseWeights):
        return source.phases[c.weights.cols], target.phases[c.weights.rows]
    given, heard = conv_phases(c.weights, source.phases.reshape(source.shape)), target.phases
    return given.reshape(-1), heard if given.size == heard.size else heard[:1]


def conv_phases(weights: ConvWeights, phases: Int64) -> Int64:
    """The phases in which a convolution's results come, in the target's shape where tokens pass one by one.

    Windows of more than one position need one phase for all, and give it as an array of size 1.  Raises ValueError
    where positions of several phases would mix.
    """
    image = apply_views(phases, weights.in_views)
    pointwise = weights.weight.shape[2:] == (1, 1) and weights.stride == (1, 1) and weights.padding == (0, 0)
    if len(np.unique(image)) == 1:
        return np.asarray(image.reshape(-1)[:1])
    if not pointwise or (image != image[:1]).any():
        raise ValueError("a convolution over tokens that come one after another")
    planes = np.broadcast_to(image[:1], (weights.weight.shape[0], *image.shape[1:]))
    return np.asarray(apply_views(planes, weights.out_views))


def _weights(c: Crossbar) -> Int64:
    return c.weights.weights << c.weights.exponent if isinstance(c.weights, SparseWeights) else c.weights.weight


def _memory_weights(c: Crossbar) -> bool:
    """One of the three weights for all synapses of a crossbar, and one synapse of each a neuron and time step."""
    return isinstance(c.weights, SparseWeights) and any((_weights(c) == w).all() for w in (KEY, VALUE, QUERY))
