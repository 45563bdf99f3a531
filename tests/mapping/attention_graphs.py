"""Attention alone: spikes in, three parts of them as q, k and v, two products, a LIF, every neuron a class."""

from __future__ import annotations

import numpy as np

from neurodeploy.ir.graph import Graph, Node, Stage, tensor

HEADS, STEPS = 2, 3


def attention(
    tokens: int, channels: int, theta: int, kv: bool = True, bias: int = 0, lo: int = 0, hi: int = 1, **current: int
) -> Graph:
    """A LIF that fires at `theta` counts; pre-scaled by 2^(T - 1), as the quantizer embeds it."""
    shape = (HEADS, tokens, channels)
    flat, scale = HEADS * tokens * channels, STEPS - 1
    parts = [
        Node("slice", name, ("x",), {"axis": 0, "start": HEADS * i, "stop": HEADS * (i + 1)})
        for i, name in enumerate("qkv")
    ]
    lif = {"vth": (theta << scale) - 1, "dv": 2048, "weight_exp": scale, "bias_exp": 0, **current}
    nodes = [
        Node("encode", "x", (), {"shape": (3 * HEADS, tokens, channels), "step": 1.0, "lo": lo, "hi": hi}),
        *parts,
        Node("permute", "kt", ("k",), {"axes": (0, 2, 1)}),
        Node("spike_matmul", "inner", ("kt", "v") if kv else ("q", "kt")),
        Node("spike_matmul", "outer", ("q", "inner") if kv else ("inner", "v")),
        Node("permute", "turned", ("outer",), {"axes": (0, 2, 1)}),
        Node("lif", "fired", ("turned",), lif, {"bias_mant": tensor(np.full((1, 1, 1), bias), np.int16)}),
        Node("reshape", "flat", ("fired",), {"shape": (flat,)}),
        Node("readout", "out", ("flat",), {}, {"bias": tensor(np.zeros(flat), np.int64)}),
    ]
    assert parts[0].integer("stop") == shape[0]
    return Graph("attention", Stage.QUANTIZED, STEPS, tuple(nodes), "out")


def spikes(tokens: int, channels: int, count: int = 3, rate: float = 0.4) -> np.ndarray:
    """Random spikes for it, float32 [count, 3 heads, tokens, channels]."""
    rng = np.random.default_rng(tokens + channels)
    return (rng.random((count, 3 * HEADS, tokens, channels)) < rate).astype(np.float32)
