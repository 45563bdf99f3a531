"""Event frames as an event camera gives them, generated: moving bars and noise, counted a polarity and time bin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodeploy.ir.graph import Graph

NOISE = 0.05  # mean events a place and frame where nothing moves
RATE = 3.0  # on the edge of a bar


def frames(count: int, steps: int, size: int = 8, channels: int = 2, seed: int = 5) -> np.ndarray:
    """Counts int64 [count, steps, channels, size, size]: a bar that moves one way at its own pace.

    Its leading edge makes events of the first polarity, its trailing edge of the second one.
    """
    rng = np.random.default_rng(seed)
    rates = np.full((count, steps, channels, size, size), NOISE)
    for sample in rates:
        start, pace, axis = rng.integers(size), rng.choice([-2, -1, 1, 2]), rng.integers(2)
        for step, frame in enumerate(sample):
            for channel, map_ in enumerate(frame):
                map_.swapaxes(0, axis)[(start + pace * step - channel * np.sign(pace)) % size] = RATE
    return rng.poisson(rates)


def as_events(graph: Graph) -> Graph:
    """The same traced graph, which reads event frames where it read one image."""
    return graph.with_nodes(replace(node, op="events") if node.op == "input" else node for node in graph.nodes)
