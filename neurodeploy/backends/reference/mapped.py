"""Execute a mapped graph as the chip does: every population in every time step, samples back to back.

A crossbar delivers in step t what its source sent in step t - 1 - delay; so the order of populations within a step
does not matter, and a wrong delay or reset shows as a difference from the quantized graph.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.reference.ops import windows
from neurodeploy.backends.result import Probes, RunResult, select_probes
from neurodeploy.images import Images, check_images
from neurodeploy.ir.graph import Node
from neurodeploy.ir.mapped import (
    KEY,
    QUERY,
    VALUE,
    ConvWeights,
    Crossbar,
    MappedGraph,
    Population,
    SparseWeights,
    apply_views,
)
from neurodeploy.numerics import PROFILES, Int64, cuba_step
from neurodeploy.progress import Progress


def run_mapped(
    mapped: MappedGraph, images: object, probes: Probes = "none", progress: Progress | None = None
) -> RunResult:
    """Stream images float32 [N, C, H, W], or event frames [N, T, C, H, W], through the populations.

    Spikes and membranes come in the samples' own steps.

    progress(done, total) counts time steps.  Raises UsageError for bad images or probes.
    """
    checked = check_images(images, mapped.image_shape)
    names = select_probes(probes, mapped.probed)
    watched = {part for name in names for part in _populations(mapped, name)} | {mapped.output}
    start = time.perf_counter()
    chip = _Chip(mapped, _encode(mapped, checked))
    total, last = len(checked) * mapped.steps, max(p.depth for p in mapped.populations)
    steps = total * mapped.period + last
    trace = {name: np.zeros((total, mapped.by_name[name].size), np.int32) for name in watched}
    membrane = {name: np.zeros_like(rows) for name, rows in trace.items()}
    for now in range(steps):
        chip.step(now)
        for name in watched:
            population = mapped.by_name[name]
            index, past = divmod(now - population.depth + mapped.period - 1, mapped.period)
            if 0 <= index < total:
                trace[name][index] += chip.sent[name][-1].astype(np.int32)  # silent but in its phase
                busy = population.phases == mapped.period - 1 - past
                membrane[name][index][busy] = chip.membrane[name][busy]
        if progress:
            progress(now + 1, steps)
    counts = trace[mapped.output].astype(np.int64).reshape(len(checked), mapped.steps, -1).sum(axis=1)
    logits = counts + mapped.output_bias.astype(np.int64)
    spikes = {name: _shaped(mapped, name, trace, len(checked)).astype(np.uint8) for name in names}
    after = {name: _shaped(mapped, name, membrane, len(checked)) for name in names}
    return RunResult("mapped", logits, mapped.output_scale, spikes, after, time.perf_counter() - start)


def _encode(mapped: MappedGraph, images: Images) -> Int64:
    codes = mapped.encoding.encode(images)
    if mapped.encoding.events:
        return codes.reshape(len(codes) * mapped.steps, -1)  # [N * T, pixels]
    return np.repeat(codes.reshape(len(codes), -1), mapped.steps, axis=0)


def _populations(mapped: MappedGraph, value: str) -> tuple[str, ...]:
    """The populations that hold a value: one, or one a threshold."""
    name, _ = mapped.views[value]
    return tuple(part for part, _ in mapped.wholes[name].parts) if name in mapped.wholes else (name,)


def _shaped(mapped: MappedGraph, value: str, trace: dict[str, NDArray[np.int32]], count: int) -> NDArray[np.int32]:
    """[N, T, *shape] of a value, from the flat steps of the population that holds it."""
    name, views = mapped.views[value]
    whole = mapped.wholes.get(name)
    steps = whole.joined(trace) if whole else trace[name].reshape(-1, *mapped.by_name[name].shape)
    rows = [apply_views(row, views) for row in steps]
    return np.stack(rows).reshape(count, mapped.steps, *rows[0].shape)


class _Chip:
    """The state of all neurons, and what they sent in the steps before."""

    def __init__(self, mapped: MappedGraph, codes: Int64) -> None:
        self.mapped, self.codes = mapped, codes
        self.profile = PROFILES[mapped.profile]
        self.inputs: dict[str, dict[str, list[Crossbar]]] = {p.name: {} for p in mapped.populations}
        for c in mapped.crossbars:
            self.inputs[c.target].setdefault(c.port, []).append(c)
        self.longest = 1 + max((c.delay for c in mapped.crossbars), default=0)
        self.sent = {p.name: [np.zeros(p.size, np.int64)] * (self.longest + 1) for p in mapped.populations}
        self.counts = {p.name: np.zeros((2, p.size), np.int64) for p in mapped.populations if p.kind == "memory"}
        self.current = {p.name: np.zeros(p.size, np.int64) for p in mapped.populations}
        self.membrane = {p.name: np.zeros(p.size, np.int64) for p in mapped.populations}

    def step(self, now: int) -> None:
        """Advance every population by one time step; `now` counts from 0."""
        fresh = {p.name: self._fire(p, now) for p in self.mapped.populations}
        for name, payload in fresh.items():
            self.sent[name] = [*self.sent[name][1:], payload]

    def _fire(self, population: Population, now: int) -> Int64:
        if population.kind == "source":
            index, phase = divmod(now, self.mapped.period)
            silent = phase or index >= len(self.codes)
            return np.zeros(population.size, np.int64) if silent else self.codes[index]
        if population.kind == "product":
            return self._input(population, "a_in1") * self._input(population, "a_in2")
        if population.kind == "max":
            return np.asarray(np.max([self._input(population, port) for port in self.inputs[population.name]], axis=0))
        total = self._input(population, "a_in")
        if population.spiking:
            return self._lif(population, total, now)
        if population.kind == "memory":
            return self._memory(population, total, now)
        return np.maximum(total, 0) if population.kind == "relu" else total

    def _input(self, population: Population, port: str) -> Int64:
        total = np.zeros(population.size, np.int64)
        for crossbar in self.inputs[population.name].get(port, ()):
            if self.sent[crossbar.source][-1 - crossbar.delay].any():
                total = total + self._deliver(crossbar, population)
        return total

    def _deliver(self, crossbar: Crossbar, target: Population) -> Int64:
        payload = self.sent[crossbar.source][-1 - crossbar.delay]
        if isinstance(crossbar.weights, SparseWeights):
            total = np.zeros(target.size, np.int64)
            weights = crossbar.weights
            sent = weights.weights * payload[weights.cols]
            np.add.at(
                total, weights.rows, sent << weights.exponent if weights.exponent > 0 else sent >> -weights.exponent
            )
            return total
        return _convolve(crossbar.weights, payload.reshape(self.mapped.by_name[crossbar.source].shape))

    def _lif(self, population: Population, total: Int64, now: int) -> Int64:
        """A LIF; a hold takes part in the time steps of its phase alone."""
        since, before = now - population.depth + population.phases, self.membrane[population.name]
        begins = population.resets & (since % (self.mapped.steps * self.mapped.period) == 0)
        bias = np.broadcast_to(population.bias_mant.astype(np.int64) << population.bias_exp, population.shape)
        flowed = self.current[population.name]
        state, decays = (np.where(begins, 0, flowed), np.where(begins, 0, before)), (population.du, population.dv)
        spikes, (current, after) = cuba_step(total, state, bias.reshape(-1), population.vth, decays, self.profile)
        due = (since % self.mapped.period == 0) | (population.kind == "lif")
        self.current[population.name] = np.where(due, current, flowed)
        self.membrane[population.name] = np.where(due, after, before)
        return np.where(due, spikes, 0)

    def _memory(self, population: Population, total: Int64, now: int) -> Int64:
        """Counts of this period and of the last one, which queries ask for."""
        if (now - population.depth + self.mapped.period - 1) % self.mapped.period == 0:
            counts = self.counts[population.name]
            self.counts[population.name] = np.stack([np.zeros_like(counts[0]), counts[0]])
        counts = self.counts[population.name]
        counts[0] += (total & (KEY | VALUE)) == KEY | VALUE
        return np.where(total & QUERY, counts[1], 0)


def _convolve(weights: ConvWeights, payload: Int64) -> Int64:
    """A convolution as its own loop over groups and taps, int64 throughout."""
    x = apply_views(payload, weights.in_views)[None]
    node = Node("conv", "", attributes={"stride": weights.stride, "padding": weights.padding})
    view = windows(x, weights.weight.shape[2:], node, fill=0)[0]  # [Ci, Ho, Wo, Kh, Kw]
    parts = zip(np.split(view, weights.groups), np.split(weights.weight.astype(np.int64), weights.groups), strict=True)
    out = np.concatenate([np.einsum("ihwab,oiab->ohw", taps, weight) for taps, weight in parts])
    return apply_views(out, weights.out_views).reshape(-1)
