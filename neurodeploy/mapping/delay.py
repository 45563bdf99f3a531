"""Delays of the network: synapses that deliver so many steps later than their target's depth says.

Samples stream back to back, so what would arrive after the last step of a sample arrives in the next one. A gate keeps
it out: neuron i of a population `due` fires in every step t >= delay[i] of a sample. It gets a spike in each step from
`tick`, whose bias alone makes it fire; its current lasts (du = 1), so that it grows, and its bias is set between what
the current is before step `delay` and in it. A sample's beginning clears the current. Spikes pass a stateless LIF that
also needs the gate's spike; payloads are multiplied with it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.boxes import boxes
from neurodeploy.ir.graph import Node
from neurodeploy.ir.mapped import Population
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.mapping.builder import Drive, Network, Signal, Synapses
from neurodeploy.mapping.layout import Layout, dense, nest
from neurodeploy.numerics import Int64, Profile, cuba_step

GAIN = 4  # of a tick onto `due`, in weight units: neighbouring steps lie further apart than biases
LONGEST = 1000  # steps: `due`'s bias has 13 bits
ALWAYS = {"bias_mant": np.full((1,), 4095), "bias_exp": 7}  # more than any payload of one pixel takes away
LASTING = 1  # du


def delayed(network: Network, node: Node, signal: Signal, source: str) -> Signal:
    """The signal, each element so many steps later as the node's delays say; source: the population of the pixels.

    Raises DoesNotFitError (ND-M154) for a delay of more than LONGEST steps that still falls into the sample.
    """
    delay = node.tensors["delay"].astype(np.int64)
    if not delay.any():
        return signal
    parts = _parts(network, signal, delay)
    if parts is None:
        signal = network.copied(signal, "dense")
        parts = _parts(network, signal, delay) or ()
    shape, interval = network.layout(signal).shape, network.interval(signal).union(Interval(0, 0))
    due, gates = _due(network, node, delay, source), dense(delay.shape).broadcast(shape)
    open_at = Synapses(due, nest(dense(shape), gates))
    if interval == BINARY or (not parts and BINARY.within(interval)):
        return network.stateless(node.name, Drive(shape, Interval(0, 2), (*parts, open_at)), vth=1)
    if not parts:  # nothing but zeros, of a value that is never 1: a LIF could send 1, as far as its readers know
        closed = Synapses(due, nest(dense(shape), gates, -1))
        return network.graded(node.name, Drive(shape, Interval(-1, 0), (closed,)), "relu")
    population = Population(node.name, "product", shape, 0, interval)
    return network.land(population, Drive(shape, interval, parts), Drive(shape, BINARY, (open_at,)))


def _parts(network: Network, signal: Signal, delay: Int64) -> tuple[Synapses, ...] | None:
    """A synapse for each element that arrives within the sample; None where no strides express a box of them."""
    layout, found = network.layout(signal), []
    for bounds, steps in boxes(delay):
        of: Layout | None = layout
        to: Layout | None = dense(layout.shape)
        for axis, start, stop in bounds:
            of = of and of.viewed(("slice", (axis, start, stop)))
            to = to and to.viewed(("slice", (axis, start, stop)))
        if of is None or to is None:
            return None
        if steps < network.steps:
            found.append(Synapses(signal.population, nest(to, of), late=steps))
    return tuple(found)


def _due(network: Network, node: Node, delay: Int64, source: str) -> str:
    """The gate's population: of the shape of the delays."""
    steps, profile = network.steps, network.profile
    wanted = np.where(delay < steps, delay, 0)  # what comes too late has no synapses that a gate could let pass
    longest = int(wanted.max())
    if longest > LONGEST:
        need, mend = f"delays of at most {LONGEST} steps", "run it on the CPU backends"
        raise DoesNotFitError(Finding("ND-M154", node.name, need, f"{longest} steps", mend, str(node.source)))
    first = Synapses(source, nest(dense((1,)), Layout(((),))))
    forgets = profile.decay_unit - 1
    tick = Population(f"{node.name}/tick", "lif", (1,), 0, BINARY, dv=forgets, resets=True, **ALWAYS)  # type: ignore[arg-type]
    network.land(tick, Drive((1,), BINARY, (first,)))
    flow = _flow(longest + 1, profile)
    bias = -((flow[wanted] + flow[wanted + 1]) >> (profile.threshold_shift + 1))
    due = Population(
        f"{node.name}/due", "lif", delay.shape, 0, BINARY,
        dv=forgets, du=LASTING, bias_mant=bias, bias_exp=profile.threshold_shift, resets=True,
    )  # fmt: skip
    ticks = nest(dense(delay.shape), Layout(((),) * delay.ndim), GAIN)
    network.land(due, Drive(delay.shape, Interval(0, GAIN), (Synapses(tick.name, ticks),)))
    return due.name


@lru_cache
def _flow(steps: int, profile: Profile) -> Int64:
    """The current of `due` before the first step and after each, membrane units [steps + 1]."""
    state, rows = (np.zeros(1, np.int64),) * 2, [0]
    for _ in range(steps):
        _, state = cuba_step(np.full(1, GAIN), state, np.zeros(1, np.int64), 0, (LASTING, profile.decay_unit), profile)
        rows.append(int(state[0][0]))
    return np.array(rows)
