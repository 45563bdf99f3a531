"""Networks with delays a channel: what SLAYER trains, and what its layers do not have."""

from __future__ import annotations

import numpy as np

from neurodeploy.ir.graph import Attribute, Graph, Node, Stage, tensor


def channels(steps: int, delays: tuple[int, ...], graded: bool = False, du: int = 2500) -> Graph:
    """Pixels, a convolution, a CUBA LIF with a bias that fires by itself, delays a channel, a read-out a neuron.

    graded: counts are delayed, in place of spikes.
    """
    rng, count = np.random.default_rng(steps), len(delays)
    window: dict[str, Attribute] = {"stride": (1, 1), "padding": (1, 1), "groups": 1}
    weight = tensor(rng.integers(-40, 60, (count, 1, 3, 3)), np.int8)
    bias = tensor(rng.integers(0, 4000, (count, 1, 1)), np.int16)
    own = {"vth": 700, "dv": 1000, "du": du, "weight_exp": 0, "bias_exp": 2}
    late = "counts" if graded else "spikes"
    nodes = (
        Node("encode", "pixels", (), {"shape": (1, 4, 3), "step": 2.0**-6, "lo": 0, "hi": 63}),
        Node("conv", "conv", ("pixels",), window, {"weight": weight}),
        Node("lif", "spikes", ("conv",), own, {"bias_mant": bias}),
        Node("add", "counts", ("spikes", "spikes")),
        Node("delay", "late", (late,), {}, {"delay": tensor(np.reshape(delays, (count, 1, 1)), np.int16)}),
        Node("conv", "mixed", ("late",), window, {"weight": tensor(rng.integers(-60, 60, (2, count, 3, 3)), np.int8)}),
        Node("lif", "next", ("mixed",), {**own, "vth": 90}, {"bias_mant": tensor(np.zeros((2, 1, 1)), np.int16)}),
        Node("reshape", "flat", ("next",), {"shape": (24,)}),
        Node("readout", "logits", ("flat",), {}, {"bias": tensor(np.arange(24), np.int64)}),
    )
    return Graph("delayed", Stage.QUANTIZED, steps, nodes, "logits")


def pixels(graph: Graph, count: int = 3) -> np.ndarray:
    """Images in 0..1, one all white, float32 [count, 1, 4, 3]."""
    images = np.random.default_rng(count).random((count, *graph.image_shape), dtype=np.float32)
    images[0] = 1.0
    return images
