"""All rules of a mapped graph, checked when it is made and again before it becomes processes; Lava enforces next to
nothing. Independent of the lowering: it reads the populations and crossbars alone.

No declared interval is trusted: what a population can send is recomputed (ir/reach.py) and has to lie inside. The
declared interval may be wider, which only wastes bits; a narrower one would break the proof of every width after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np

from neurodeploy.errors import Finding, VerifyError
from neurodeploy.ir.custom_check import arrival_claims, broadcasts, custom_claims, idle, phase_claims, wanted_ports
from neurodeploy.ir.mapped import ConvWeights, Crossbar, MappedGraph, Population, SparseWeights, Views, apply_views
from neurodeploy.ir.reach import plane, reaches
from neurodeploy.ir.types import BYTE, SIGNED_BYTE, Interval, signed, unsigned
from neurodeploy.numerics import PROFILES, Int64, Profile

NAMES, WIRING, TIMING, SYNAPSES, SHAPES, WIDTHS, REACH = (f"ND-M10{i}" for i in range(1, 8))
CUSTOM, PHASES = "ND-M108", "ND-M109"
PORT_VIEWS = {"reshape", "permute"}  # shared weights take all axons, and Lava has no port for a part of them
NEXT = "this is a bug of the mapping: report it with the model"


@dataclass(frozen=True)
class Rule:
    """A rule of one part of a graph: what is needed, whether it holds, what there is."""

    code: str
    part: str
    need: str
    holds: bool
    have: object


def check_mapped(graph: MappedGraph) -> MappedGraph:
    """The graph, if it breaks no rule. Raises VerifyError with every broken one; the reach only where all else holds.

    ND-M101 names, ND-M102 wiring, ND-M103 timing, ND-M104 synapses, ND-M105 shapes, ND-M106 widths, ND-M107 a declared
    interval narrower than what a population can send, ND-M108 custom neurons, ND-M109 phases of streamed tokens.
    """
    broken = [rule for rule in rules(graph) if not rule.holds]
    if broken:
        raise VerifyError(Finding(rule.code, rule.part, rule.need, str(rule.have), NEXT) for rule in broken)
    return graph


def rules(graph: MappedGraph) -> Iterator[Rule]:
    """Every rule of every part, whether it holds or not."""
    profile = PROFILES[graph.profile]
    known = [c for c in graph.crossbars if {c.source, c.target} <= set(graph.by_name)]
    found = [*_name_rules(graph, len(known)), *_whole_rules(graph), *_wiring_rules(graph, known)]
    found += [rule for p in graph.populations for rule in _population_rules(p, profile)]
    found += [rule for c in known for rule in _crossbar_rules(c, graph, profile)]
    found += [Rule(CUSTOM, *claim) for claim in custom_claims(graph)]
    found += [Rule(PHASES, *claim) for claim in phase_claims(graph)]
    if all(rule.holds for rule in found):
        found += [Rule(PHASES, *claim) for claim in arrival_claims(graph)]
    yield from found
    if all(rule.holds for rule in found):
        yield from _reach_rules(graph, profile)


def _name_rules(graph: MappedGraph, known: int) -> Iterator[Rule]:
    names = [p.name for p in graph.populations] + [c.name for c in graph.crossbars]
    yield Rule(NAMES, "", "names that differ", len(names) == len(set(names)), f"{len(names) - len(set(names))} twice")
    unknown = len(graph.crossbars) - known
    yield Rule(NAMES, "", "crossbars between populations", unknown == 0, f"{unknown} of an unknown one")
    output = graph.by_name.get(graph.output)
    yield Rule(NAMES, graph.output, "an output population", output is not None, "none of this name")
    if output:
        size = graph.output_bias.size
        yield Rule(SHAPES, graph.output, f"an output bias of {output.size}", size == output.size, size)
    for value, (name, views) in graph.views.items():
        seen = graph.wholes.get(name) or graph.by_name.get(name)
        yield Rule(NAMES, value, "a view of a population", seen is not None, name)
        if seen:
            yield Rule(SHAPES, value, "views that fit", _seen(seen.shape, views) is not None, str(seen.shape))


def _whole_rules(graph: MappedGraph) -> Iterator[Rule]:
    """Each neuron of a layer lies in one of its populations."""
    for name, whole in graph.wholes.items():
        sizes = {part: graph.by_name[part].size if part in graph.by_name else None for part, _ in whole.parts}
        held = {part: members.size for part, members in whole.parts}
        yield Rule(NAMES, name, f"populations of {held} neurons", sizes == held, str(sizes))
        found = np.sort(np.concatenate([members for _, members in whole.parts]))
        whole_once = np.array_equal(found, np.arange(whole.size))
        yield Rule(SHAPES, name, f"each of {whole.size} neurons in one population", whole_once, f"{found.size} entries")


def _wiring_rules(graph: MappedGraph, known: list[Crossbar]) -> Iterator[Rule]:
    sources = [p.name for p in graph.populations if p.kind == "source"]
    yield Rule(WIRING, "", "one source", len(sources) == 1, sources)
    before: dict[str, set[str]] = {p.name: set() for p in graph.populations}
    ports: dict[str, set[str]] = {p.name: set() for p in graph.populations}
    for c in known:
        before[c.target].add(c.source)
        ports[c.target].add(c.port)
    try:
        TopologicalSorter(before).prepare()
        cycle: tuple[str, ...] = ()
    except CycleError as error:
        cycle = tuple(error.args[1])
    yield Rule(WIRING, "", "no cycle", not cycle, " <- ".join(cycle))
    for p in graph.populations:
        wanted = wanted_ports(p, ports[p.name])
        yield Rule(WIRING, p.name, f"inputs at {sorted(wanted)}", ports[p.name] == wanted, sorted(ports[p.name]))


def _population_rules(p: Population, profile: Profile) -> Iterator[Rule]:
    if p.kind == "source":
        yield Rule(TIMING, p.name, "a source at depth 0", p.depth == 0, p.depth)
    if p.kind == "lif":
        yield Rule(TIMING, p.name, "a reset, or no memory", p.resets or idle(p), f"dv {p.dv}, du {p.du} and no reset")
    fits = broadcasts(p.bias_mant.shape, p.shape)
    yield Rule(SHAPES, p.name, f"a bias that broadcasts to {p.shape}", fits, p.bias_mant.shape)
    yield _width(p.name, "vth", _one(p.vth), unsigned(profile.threshold_bits))
    yield _width(p.name, "dv", _one(p.dv), unsigned(profile.decay_bits))
    yield _width(p.name, "du", _one(p.du), Interval(1, profile.decay_unit))
    yield _width(p.name, "bias mantissas", _span(p.bias_mant), signed(profile.bias_bits))
    yield _width(p.name, "bias exponent", _one(p.bias_exp), Interval(0, profile.bias_exponent_max))
    yield _width(p.name, "payloads", p.interval, _symmetric(profile.payload_max))


def _crossbar_rules(c: Crossbar, graph: MappedGraph, profile: Profile) -> Iterator[Rule]:
    source, target = graph.by_name[c.source], graph.by_name[c.target]
    depth = source.depth + 1 + c.delay + c.early - c.late
    gated = graph.period == 1 and (target.kind == "product" or (idle(target) and target.vth > 0))
    yield Rule(TIMING, c.name, "a delay of the network onto a gate", c.late == 0 or (c.late > 0 and gated), c.late)
    yield Rule(TIMING, c.name, f"a target at depth {depth}", target.depth == depth, target.depth)
    longest = profile.delay_max if isinstance(c.weights, SparseWeights) else 0
    yield Rule(TIMING, c.name, f"a delay in 0..{longest}", 0 <= c.delay <= longest, c.delay)
    if isinstance(c.weights, SparseWeights):
        yield _width(c.name, "weights", _span(c.weights.weights), signed(profile.weight_bits))
        exponents = Interval(-profile.payload_bits, profile.activation_bits)
        yield _width(c.name, "weight exponent", _one(c.weights.exponent), exponents)
        yield from _sparse_rules(c.name, c.weights, source, target)
    else:
        yield _width(c.name, "weights", _span(c.weights.weight), signed(profile.weight_bits))
        limit = BYTE if source.interval.lo >= 0 else SIGNED_BYTE
        yield _width(c.name, "payloads into a convolution", source.interval, limit)
        yield from _conv_rules(c.name, c.weights, source, target)


def _sparse_rules(name: str, w: SparseWeights, source: Population, target: Population) -> Iterator[Rule]:
    lengths = (len(w.rows), len(w.cols), len(w.weights))
    yield Rule(SYNAPSES, name, "rows, cols and weights of one length", len(set(lengths)) == 1, lengths)
    if len(set(lengths)) > 1:
        return
    for part, index, size in (("rows", w.rows, target.size), ("cols", w.cols, source.size)):
        yield Rule(SYNAPSES, name, f"{part} in 0..{size - 1}", _span(index).within(Interval(0, size - 1)), _span(index))
    pairs = np.sort(w.rows * source.size + w.cols)  # np.unique would hash them, which takes ten times as long
    twice = int((pairs[1:] == pairs[:-1]).sum())
    yield Rule(SYNAPSES, name, "one synapse a pair of neurons", not twice, f"{twice} twice")
    if w.exponent < 0:
        most = int(np.bincount(w.rows, minlength=1).max())
        yield Rule(SYNAPSES, name, "one synapse a neuron where it shifts to the right", most <= 1, most)


def _conv_rules(name: str, w: ConvWeights, source: Population, target: Population) -> Iterator[Rule]:
    others = {kind for kind, _ in (*w.in_views, *w.out_views)} - PORT_VIEWS
    yield Rule(SHAPES, name, "ports that take all neurons, reshaped and permuted", not others, sorted(others))
    image, kernel = _seen(source.shape, w.in_views) or (), w.weight.shape
    fits = len(image) == 3 and len(kernel) == 4 and image[0] == kernel[1] * w.groups and kernel[0] % w.groups == 0
    yield Rule(SHAPES, name, f"an image that {kernel} in {w.groups} groups takes", fits, image)
    if fits:
        result = plane(w, image)
        shape = _seen(result, w.out_views) if min(result) > 0 else None
        yield Rule(SHAPES, name, f"a result of shape {target.shape}", shape == target.shape, f"{result} as {shape}")


def _reach_rules(graph: MappedGraph, profile: Profile) -> Iterator[Rule]:
    for name, reach in reaches(graph).items():
        p = graph.by_name[name]
        limit = profile.activation_max if p.spiking else profile.payload_max
        yield _width(name, "summed inputs", reach.received, _symmetric(limit))
        yield Rule(REACH, name, f"an interval that holds {reach.sent}", reach.sent.within(p.interval), p.interval)


def _width(part: str, what: str, have: Interval, limit: Interval) -> Rule:
    return Rule(WIDTHS, part, f"{what} in {limit}", have.within(limit), have)


def _one(value: int) -> Interval:
    return Interval(value, value)


def _span(values: Int64) -> Interval:
    return Interval(int(values.min()), int(values.max())) if values.size else Interval(0, 0)


def _symmetric(limit: int) -> Interval:
    return Interval(-limit, limit)


def _seen(shape: tuple[int, ...], views: Views) -> tuple[int, ...] | None:
    """The shape through the views; None where they do not fit."""
    try:
        return apply_views(np.broadcast_to(np.int8(0), shape), views).shape
    except ValueError:
        return None
