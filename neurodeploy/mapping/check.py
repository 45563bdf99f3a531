"""An independent check of a mapped graph: timing, indices, widths. It shares no code with the lowering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from neurodeploy.errors import Finding, VerifyError
from neurodeploy.ir.mapped import ConvWeights, Crossbar, MappedGraph, Population, SparseWeights, apply_views
from neurodeploy.ir.types import Interval, signed
from neurodeploy.numerics import PROFILES, Profile

Problem = tuple[str, str]


def check(mapped: MappedGraph) -> MappedGraph:
    """Return the graph if every crossbar and population is sound; raises VerifyError with all that is not."""
    profile = PROFILES[mapped.profile]
    problems = [(c.name, *p) for c in mapped.crossbars for p in _crossbar_problems(mapped, c, profile)]
    problems += [(p.name, *x) for p in mapped.populations for x in _population_problems(mapped, p, profile)]
    if mapped.output not in mapped.by_name:
        problems.append((mapped.output, "an output population", "none of this name"))
    if problems:
        mend = "this is a bug of the lowering: report it with the model"
        raise VerifyError(Finding("ND-M002", name, need, have, mend) for name, need, have in problems)
    return mapped


def _crossbar_problems(mapped: MappedGraph, crossbar: Crossbar, profile: Profile) -> Iterator[Problem]:
    source, target = mapped.by_name.get(crossbar.source), mapped.by_name.get(crossbar.target)
    if source is None or target is None:
        yield "two populations", f"{crossbar.source} -> {crossbar.target}"
        return
    if source.depth + 1 + crossbar.delay != target.depth:
        yield f"depth {target.depth} at the target", f"{source.depth} + 1 + {crossbar.delay}"
    if not 0 <= crossbar.delay <= profile.delay_max:
        yield f"a delay of 0..{profile.delay_max}", str(crossbar.delay)
    if isinstance(crossbar.weights, SparseWeights):
        yield from _sparse_problems(crossbar.weights, source, target)
    else:
        yield from _conv_problems(crossbar.weights, crossbar.delay, source, target)
    weights = crossbar.weights.weights if isinstance(crossbar.weights, SparseWeights) else crossbar.weights.weight
    span = Interval(int(weights.min(initial=0)), int(weights.max(initial=0)))
    if not span.within(signed(profile.weight_bits)):
        yield f"weights in {signed(profile.weight_bits)}", str(span)


def _sparse_problems(weights: SparseWeights, source: Population, target: Population) -> Iterator[Problem]:
    count = len(weights.rows)
    if not count == len(weights.cols) == len(weights.weights):
        yield "rows, cols and weights of one length", f"{count}, {len(weights.cols)}, {len(weights.weights)}"
        return
    for name, index, size in (("rows", weights.rows, target.size), ("cols", weights.cols, source.size)):
        if count and not (index.min() >= 0 and index.max() < size):
            yield f"{name} in 0..{size - 1}", f"{index.min()}..{index.max()}"
    if len(np.unique(weights.rows * source.size + weights.cols)) != count:
        yield "one synapse a pair of neurons", "a pair twice"


def _conv_problems(weights: ConvWeights, delay: int, source: Population, target: Population) -> Iterator[Problem]:
    if delay:
        yield "a convolution without delay", str(delay)
    image = apply_views(np.zeros(source.shape, np.int8), weights.in_views).shape
    out_channels, in_channels, *kernel = weights.weight.shape
    if len(image) != 3 or image[0] != in_channels * weights.groups:
        yield f"an image of {in_channels * weights.groups} channels", str(image)
        return
    windows = zip(image[1:], kernel, weights.stride, weights.padding, strict=True)
    plane = (out_channels, *((n + 2 * p - k) // s + 1 for n, k, s, p in windows))
    shape = apply_views(np.zeros(plane, np.int8), weights.out_views).shape
    if shape != target.shape:
        yield f"an output of shape {target.shape}", str(shape)


def _population_problems(mapped: MappedGraph, population: Population, profile: Profile) -> Iterator[Problem]:
    ports = Counter(c.port for c in mapped.crossbars if c.target == population.name)
    wanted = {"source": set(), "product": {"a_in1", "a_in2"}}.get(population.kind, {"a_in"})
    if set(ports) != wanted:
        yield f"inputs at {sorted(wanted)}", str(sorted(ports))
    if population.interval.magnitude > profile.payload_max:
        yield f"payloads in {profile.payload_bits} bits", str(population.interval)
    if population.kind == "lif" and not 0 <= population.vth <= profile.threshold_max:
        yield f"vth in 0..{profile.threshold_max}", str(population.vth)
