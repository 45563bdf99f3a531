"""SANA-FE's network file: neurons in groups, edges with weights and delays, neurons on cores.

Its leaky_integrate_fire soma computes, in weight units (1/64 of which is a membrane unit of ours),

    v = trunc(64 * v * leak_decay) / 64 + bias + input;  fires where v > threshold, then v = reset

in doubles, which is our LIF exactly: leak_decay = (4096 - dv) / 4096, bias = bias_mant * 2^bias_exp / 64. A neuron that
sends payloads has leak_decay 0 and threshold 0: it fires where its input is positive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from neurodeploy.backends.sanafe.homes import Homes
from neurodeploy.backends.sanafe.synapses import Listed, shift
from neurodeploy.ir.mapped import Crossbar, MappedGraph, Population
from neurodeploy.numerics import PROFILES, Int64

LONGEST = 5  # the longest delay of accumulator_with_delay


def carried(crossbar: Crossbar) -> bool:
    """Whether SANA-FE can deliver: its delays reach far enough, and nothing is shifted to the right.

    Else the edges weigh 0 and the host delivers.
    """
    return crossbar.delay <= LONGEST and not shift(crossbar)


def network(graph: MappedGraph, homes: Homes, synapses: Mapping[str, Listed]) -> Iterator[str]:
    """The YAML text in pieces. synapses: those of each crossbar."""
    group = {p.name: f"p{i}" for i, p in enumerate(graph.populations)}
    yield f"# {graph.name}, written by neurodeploy: groups are populations, edges crossbars.\n"
    yield f'network:\n  name: "{graph.name}"\n  groups:\n'
    for population in graph.populations:
        yield from _group(graph, population, group[population.name])
    yield "  edges:\n"
    for crossbar in graph.crossbars:
        yield from _edges(crossbar, group, synapses[crossbar.name])
    yield "mappings:\n"
    for population in graph.populations:
        yield from _mappings(group[population.name], homes.at[population.name])


def biases(graph: MappedGraph, population: Population) -> Int64:
    """The bias of each neuron in membrane units, int64 [size]."""
    bias = population.bias_mant.astype(np.int64) << population.bias_exp
    return np.broadcast_to(bias, population.shape).reshape(-1)


def _group(graph: MappedGraph, population: Population, name: str) -> Iterator[str]:
    profile, lif = PROFILES[graph.profile], population.kind == "lif"
    kept = (profile.decay_unit - population.dv) / profile.decay_unit if lif else 0.0
    threshold = population.vth if lif else 0
    shape = "x".join(map(str, population.shape))
    yield f"    # {population.name}: {population.kind} {shape}, depth {population.depth}\n"
    yield f"    - name: {name}\n"
    yield f"      attributes: {{threshold: {threshold}, leak_decay: {kept!r}, reset: 0, reset_mode: hard, "
    yield "log_spikes: true}\n      neurons:\n"
    bias = biases(graph, population)
    for first, last in _runs(bias[:, None]):
        value = float(bias[first]) / (1 << profile.threshold_shift)
        yield f"        - {first}..{last}: {{bias: {value!r}}}\n"


def _edges(crossbar: Crossbar, group: Mapping[str, str], synapses: Listed) -> Iterator[str]:
    rows, cols, weights = synapses
    if not len(rows):
        return
    if not carried(crossbar):
        yield f"    # delay {crossbar.delay}, shift {shift(crossbar)}: the host delivers, these weigh 0\n"
        weights = np.zeros_like(weights)
    yield f"    # {crossbar.name}\n    - {group[crossbar.source]} -> {group[crossbar.target]}: {{type: sparse, "
    yield f"source_target_pairs: [{','.join(map('[{},{}]'.format, cols.tolist(), rows.tolist()))}], "
    delay = min(crossbar.delay, LONGEST)
    if delay:
        yield f"delay: [{','.join([str(delay)] * len(rows))}], "
    yield f"weight: [{','.join(map(str, weights.tolist()))}]}}\n"


def _mappings(name: str, at: Int64) -> Iterator[str]:
    for first, last in _runs(at):
        tile, core, unit = at[first].tolist()
        units = f'soma: "soma[{unit}]", dendrite: "dendrite[{unit}]"'
        yield f"  - {name}.{first}..{last}: {{core: {tile}.{core}, {units}}}\n"


def _runs(rows: Int64) -> Iterable[tuple[int, int]]:
    """(first, last) of neurons in a row that have the same; int64 [neurons, n]."""
    changes = np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1
    starts, stops = [0, *changes.tolist()], [*changes.tolist(), len(rows)]
    return ((start, stop - 1) for start, stop in zip(starts, stops, strict=True))
