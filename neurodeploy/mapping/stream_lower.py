"""The populations of streamed attention: tokens one after another, buses, memories; the schedule is in stream.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod

import numpy as np

from neurodeploy.ir.custom_check import conv_phases, idle
from neurodeploy.ir.mapped import EVERY, KEY, QUERY, VALUE, Crossbar, Population, SparseWeights, Views
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.mapping.builder import Drive, Network, Signal, Synapses
from neurodeploy.mapping.layout import dense, nest
from neurodeploy.numerics import Int64

UNKNOWN = EVERY - 1


def one_after_another(network: Network, signal: Signal, shape: tuple[int, ...]) -> Signal:
    """A value [channels, ..] once more, token after token (along all other axes, in order), the last at its depth."""
    channels, tokens = shape[0], prod(shape[1:])
    flat = network.viewed(signal, ("reshape", (channels, tokens)))
    if network.layout(flat).strides is None:
        flat = network.copied(flat, "dense")
    source, target = network.layout(flat), dense((channels, tokens))
    parts = [
        Synapses(flat.population, nest(target.part(1, n, 1), source.part(1, n, 1)), early=tokens - 1 - n)
        for n in range(tokens)
    ]
    drive = Drive((channels, tokens), network.interval(flat), tuple(parts))
    name = f"{signal.population}/stream"
    made = network.stateless(name, drive, 0) if drive.interval.within(BINARY) else network.graded(name, drive)
    views: Views = () if len(shape) == 2 else (("reshape", shape),)
    return Signal(made.population, views)


def streamed_attention(network: Network, name: str, query: Signal, key: Signal, value: Signal) -> Drive:
    """Q (K^T V), token after token: query [*B, N, d], key [*B, d, N], value [*B, N, m] become a drive [*B, N, m]."""
    tokens, period = network.layout(query).shape[-2], network.period
    keys = _bus(network, f"{name}/keys", key, -1)  # [*B, d, 1]
    values = _bus(network, f"{name}/values", value, -2)  # [*B, 1, m]
    rank = len(network.layout(key).shape)
    swap = (*range(rank - 2), rank - 1, rank - 2)
    queries = network.viewed(_bus(network, f"{name}/queries", query, -2), ("permute", swap))
    batch, wide = network.layout(keys).shape[:-1], network.layout(values).shape[-1]
    shape = (*batch, wide)
    inputs = [
        Synapses(signal.population, nest(dense(shape), network.layout(signal).broadcast(shape), weight), early)
        for signal, weight, early in ((keys, KEY, period), (values, VALUE, period), (queries, QUERY, 0))
    ]
    count = Interval(0, period)
    memory = Population(f"{name}/memory", "memory", shape, 0, count)
    pairs = network.land(memory, Drive(shape, Interval(0, KEY + VALUE + QUERY), tuple(inputs)))
    row = (*batch[:-1], 1, wide)
    summed = nest(dense(row), network.layout(pairs))
    bus = network.graded(f"{name}/sum", Drive(row, count.scaled(batch[-1]), (Synapses(pairs.population, summed),)))
    result = (*batch[:-1], tokens, wide)
    part = Synapses(bus.population, nest(dense(result), network.layout(bus).broadcast(result)))
    return Drive(result, count.scaled(batch[-1]), (part,))


def _bus(network: Network, name: str, signal: Signal, axis: int) -> Signal:
    """One neuron for all tokens, which fires with each of them."""
    layout = network.layout(signal)
    kept = list(layout.shape)
    kept[axis] = 1
    drive = Drive(tuple(kept), BINARY, (Synapses(signal.population, nest(dense(kept), layout)),))
    return network.stateless(name, drive, 0)


def phased(
    populations: Iterable[Population], crossbars: Iterable[Crossbar], known: Mapping[str, Int64]
) -> tuple[Population, ...]:
    """The populations with the phase of every neuron; known: those of the holds, by value."""
    before = list(populations)
    done: dict[str, Population] = {}
    inputs: dict[str, list[Crossbar]] = {p.name: [] for p in before}
    for c in crossbars:
        inputs[c.target].append(c)
    for p in sorted(before, key=lambda p: p.depth):
        if p.kind == "hold":
            phase = np.asarray(known.get(p.value, np.zeros((), np.int64)), np.int64)
        else:
            phase = _heard(p, inputs[p.name], done)
        done[p.name] = replace(p, phase=_small(phase.reshape(p.shape) if phase.ndim else phase))
    return tuple(done[p.name] for p in before)


def _heard(p: Population, crossbars: list[Crossbar], done: Mapping[str, Population]) -> Int64:
    """The phases in which the inputs of a population come; all of them where they differ for a neuron."""
    every, phase = np.asarray(EVERY, np.int64), np.full(p.size, UNKNOWN, np.int64)
    if p.kind == "memory" or any((done[c.source].phase == EVERY).all() for c in crossbars):
        return every
    for c in crossbars:
        rows, given = _given(p, c, done[c.source])
        top, low = phase.copy(), np.full(p.size, np.iinfo(np.int64).max)
        np.maximum.at(top, rows, given + c.early)
        np.minimum.at(low, rows, given + c.early)
        touched = top[rows]
        mixed = (low[rows] != touched) | ((phase[rows] != UNKNOWN) & (phase[rows] != touched))
        if mixed.any() and (p.kind == "sum" or idle(p)):
            return every
        phase = top
    return np.where(phase == UNKNOWN, 0, phase)


def _given(p: Population, c: Crossbar, source: Population) -> tuple[Int64, Int64]:
    """(target neuron, phase of an axon) of each synapse, or of each result of a convolution."""
    if isinstance(c.weights, SparseWeights):
        return c.weights.rows, source.phases[c.weights.cols]
    every = np.arange(p.size)
    try:
        given = conv_phases(c.weights, source.phases.reshape(source.shape)).reshape(-1)
    except ValueError:  # positions of several phases: at least two differ
        return np.concatenate((every, every)), np.repeat((0, 1), p.size)
    return every, np.broadcast_to(given, every.shape)


def _small(phase: Int64) -> Int64:
    """One number where all neurons have the same phase."""
    return phase.reshape(-1)[0] if phase.size and (phase == phase.reshape(-1)[0]).all() else phase
