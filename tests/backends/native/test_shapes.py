"""Sizes beyond the random graphs': several blocks of outputs, strips and chunks of rows, windows, long fan-ins."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from neurodeploy.backends.native import plan
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.samples import Draft, lif, readout
from neurodeploy.numerics import LOIHI_LAVA
from tests.backends.native.test_equality import assert_equal


def convolution(draft: Draft, value: str, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
    """A square convolution with padding, its weights as large as the steps allow."""
    channels, *space = draft.shape(value)
    shape = (outputs, channels // groups, *(kernel for _ in space))
    room = LOIHI_LAVA.activation_max // (draft.steps + 4)
    high = max(1, min(127, room // (draft.known[value].range.magnitude * prod(shape[1:]))))
    weight = draft.draw(-high - (high == 127), high, shape, np.int8)
    window = {"stride": (stride,) * len(space), "padding": (kernel // 2,) * len(space)}
    return draft.add("conv", (value,), {"weight": weight}, groups=groups, **window)


def spiking(draft: Draft, value: str, pool: bool) -> str:
    """A LIF with a bias a channel, behind a max pooling or not."""
    if pool:
        value = draft.add("max_pool", (value,), kernel=(3, 3), stride=(2, 2), padding=(1, 1))
    shape, x = draft.shape(value), draft.known[value].range
    bias = draft.draw(-300, 300, (shape[0], *(1 for _ in shape[1:])), np.int16)
    threshold = max(1, int(0.05 * x.magnitude))
    own = {"vth": threshold, "dv": draft.pick(0, 1) * 2048 or 1000, "weight_exp": 0, "bias_exp": 0}
    return draft.add("lif", (value,), {"bias_mant": bias}, **own)


def attention(draft: Draft, value: str, heads: int, keys_first: bool) -> str:
    """Q (K^T V) or (Q K^T) V on heads of [C, tokens]."""
    channels, tokens = draft.shape(value)[0], prod(draft.shape(value)[1:])
    flat = draft.add("reshape", (value,), shape=(channels, tokens))
    parts = []
    for _ in range(3):
        spikes = spiking(draft, convolution(draft, flat, channels, 1), pool=False)
        split = draft.add("reshape", (spikes,), shape=(heads, channels // heads, tokens))
        parts.append((split, draft.add("permute", (split,), axes=(0, 2, 1))))
    (_, q), (k, _), (_, v) = parts
    if keys_first:
        mixed = draft.add("spike_matmul", (q, draft.add("spike_matmul", (k, v))))
    else:
        mixed = draft.add("spike_matmul", (draft.add("spike_matmul", (q, k)), v))
    fired = lif(draft, mixed)
    back = draft.add("reshape", (draft.add("permute", (fired,), axes=(0, 2, 1)),), shape=(channels, tokens))
    return draft.add("add", (flat, spiking(draft, convolution(draft, back, channels, 1), pool=False)))


def large_graph(seed: int) -> Graph:
    """Pixels, two convolutions with or without pooling, a strided or grouped one, attention, read-out."""
    rng = np.random.default_rng(seed)
    draft = Draft(rng, int(rng.choice([1, 2, 4, 4, 7, 16])))
    size = draft.pick(9, 21)
    lo, hi = ((0, 255), (-128, 127), (0, 1), (-40, 100))[seed % 4]
    value = draft.add("encode", (), shape=(draft.pick(1, 5), size, size + draft.pick(0, 3)), step=0.01, lo=lo, hi=hi)
    value = spiking(
        draft, convolution(draft, value, draft.pick(20, 70), draft.pick(1, 3) * 2 - 1), draft.pick(0, 1) == 1
    )
    heads = draft.pick(1, 3)
    channels = heads * 4 * draft.pick(2, 12)
    first = convolution(draft, value, channels, int(rng.choice([1, 3])), draft.pick(1, 2))
    value = spiking(draft, first, len(draft.shape(first)) == 3 and min(draft.shape(first)[1:]) > 4 and seed % 3 == 0)
    other = convolution(draft, value, channels, 3, groups=int(rng.choice([1, 2, heads])) if channels % 2 == 0 else 1)
    value = draft.add("add", (value, spiking(draft, other, pool=False)))
    value = attention(draft, value, heads, keys_first=seed % 2 == 0)
    summed = draft.add("reduce_sum", (value,), axes=(1,), keepdims=0)
    return draft.graph(readout(draft, summed), f"large-{seed}")


@pytest.mark.parametrize("seed", range(24))
def test_large_graphs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_equal(large_graph(seed), seed, monkeypatch)


def test_convolutions_and_their_neurons_are_one_call() -> None:
    graph = next(g for g in map(large_graph, range(10)) if g.of("max_pool"))
    calls = [step.call for step in plan.record(graph, (), "portable").steps]
    assert "lif" in calls  # behind the attention
    assert calls.count("lif") < len(graph.of("lif")) / 2


@pytest.mark.parametrize("seed", range(6))
def test_attention_on_bytes_of_any_size(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts up to 255 on both sides, in the widths of the profile int32."""
    draft = Draft(np.random.default_rng(seed), 2)
    shape = (draft.pick(1, 3), draft.pick(1, 60), draft.pick(1, 70))
    value = draft.add("encode", (), shape=shape, step=0.01, lo=0, hi=(255, 200, 127)[seed % 3])
    turned = draft.add("permute", (value,), axes=(0, 2, 1))
    product = draft.add("spike_matmul", (value, turned) if seed % 2 else (turned, value))
    fired = spiking(draft, draft.add("permute", (product,), axes=(1, 0, 2)), pool=False)
    value = spiking(draft, product, pool=False)
    flat = draft.add("reshape", (value,), shape=(prod(draft.shape(value)),))
    graph = replace(draft.graph(readout(draft, flat), "bytes"), profile="int32")
    assert fired in {node.name for node in graph.nodes}
    assert_equal(graph, seed, monkeypatch)


def test_fan_in_of_many_thousands(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = Draft(np.random.default_rng(0), 2)
    value = draft.add("encode", (), shape=(9000, 1), step=0.5, lo=0, hi=1)
    value = spiking(draft, convolution(draft, value, 33, 1), pool=False)
    flat = draft.add("reshape", (value,), shape=(33,))
    assert_equal(draft.graph(readout(draft, flat), "long"), 0, monkeypatch)
