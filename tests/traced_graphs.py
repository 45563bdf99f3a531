"""Small traced graphs, written by hand, with every op of the two families and seeded random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from neurodeploy.ir.graph import Attribute, Graph, Node, Source, Stage, tensor

LIF: Mapping[str, Attribute] = {"decay": 0.5, "threshold": 1.0, "decay_input": 1}


@dataclass
class Sketch:
    """Appends nodes; every method returns the new value's name."""

    seed: int = 0
    nodes: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def op(
        self, op: str, name: str, *inputs: str, tensors: Mapping[str, object] | None = None, **attributes: object
    ) -> str:
        """Any op of the table."""
        arrays = {key: tensor(value, np.float64) for key, value in (tensors or {}).items()}
        self.nodes.append(
            Node(op, name, inputs, dict(attributes), arrays, Source(name, "sketch.py", len(self.nodes) + 1))
        )
        return name

    def conv(
        self,
        name: str,
        x: str,
        size: tuple[int, ...],
        stride: int = 1,
        padding: int = 0,
        gain: float = 3.0,
        groups: int = 1,
    ) -> str:
        """A convolution with batch norm, statistics unlike one and zero."""
        rank, fan_in = len(size) - 2, int(np.prod(size[1:]))
        weight = self.rng.normal(0, gain / np.sqrt(fan_in), size)
        window = {"stride": (stride,) * rank, "padding": (padding,) * rank, "groups": groups}
        self.op("conv", f"{name}_conv", x, tensors={"weight": weight}, **window)
        norm = {"scale": self.rng.uniform(0.5, 1.5, size[0]), "shift": self.rng.normal(0.2, 0.3, size[0])}
        return self.op("batchnorm", f"{name}_bn", f"{name}_conv", tensors=norm)

    def lif(self, name: str, x: str, threshold: float = 1.0) -> str:
        """A LIF of tau 2."""
        return self.op("neuron", f"{name}_lif", x, **{**LIF, "threshold": threshold})

    def finish(self, name: str, steps: int, head: str) -> Graph:
        """A graph that ends in the mean over time of `head`."""
        return Graph(name, Stage.TRACED, steps, tuple(self.nodes), self.op("time_mean", "readout", head)).with_nodes(
            self.nodes
        )


def qkformer(seed: int = 0, steps: int = 4, size: int = 8) -> Graph:
    """Embedding with a max-pool before the neuron, token Q-K attention, residual, MLP, SSA, read-out."""
    s, channels, heads = Sketch(seed), 8, 2
    s.op("input", "images", shape=(1, size, size))
    x = s.conv("embed.proj1", "images", (channels, 1, 3, 3), padding=1)
    pool: dict[str, object] = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    x = s.lif("embed.proj1", s.op("max_pool", "embed.maxpool", x, **pool))
    tokens = (size // 2) ** 2
    x = s.op("reshape", "embed.flat", x, shape=(channels, tokens))
    split = (heads, channels // heads, tokens)
    q, k = (
        s.op("reshape", f"tssa.{n}", s.lif(f"tssa.{n}", s.conv(f"tssa.{n}", x, (channels, channels, 1))), shape=split)
        for n in ("q", "k")
    )
    mask = s.lif("tssa.attn", s.op("reduce_sum", "tssa.sum", q, axes=(1,), keepdims=1), threshold=0.5)
    y = s.op("reshape", "tssa.merge", s.op("mul", "tssa.mul", mask, k), shape=(channels, tokens))
    x = s.op("add", "tssa.add", x, s.lif("tssa.proj", s.conv("tssa.proj", y, (channels, channels, 1))))
    y = s.lif("mlp.fc2", s.conv("mlp.fc2", s.lif("mlp.fc1", s.conv("mlp.fc1", x, (16, 8, 1))), (8, 16, 1)))
    x = s.op("add", "mlp.add", x, y)
    x = s.op("add", "ssa.add", x, ssa(s, x, split))
    x = s.op("reduce_mean", "gap", x, axes=(1,), keepdims=0)
    head = {"weight": s.rng.normal(0, 0.5, (3, channels)), "bias": s.rng.normal(0, 0.5, 3)}
    x = s.op("conv", "head", x, tensors=head, stride=(), padding=(), groups=1)
    return s.finish("tiny-qkformer", steps, x)


def ssa(s: Sketch, x: str, split: tuple[int, int, int]) -> str:
    """Spiking self-attention (q k^T) v * 0.125 over [heads, N, d], back to [C, N] through a projection."""
    heads, dim, tokens = split
    channels = heads * dim
    parts = []
    for name in ("q", "k", "v"):
        y = s.lif(f"ssa.{name}", s.conv(f"ssa.{name}", x, (channels, channels, 1)))
        y = s.op("reshape", f"ssa.{name}_split", y, shape=split)
        parts.append(s.op("permute", f"ssa.{name}_heads", y, axes=(0, 2, 1)))
    kt = s.op("permute", "ssa.kt", parts[1], axes=(0, 2, 1))
    y = s.op("matmul", "ssa.av", s.op("matmul", "ssa.qk", parts[0], kt), parts[2])
    y = s.lif("ssa.attn", s.op("scale", "ssa.scale", y, factor=0.125), threshold=0.5)
    y = s.op("permute", "ssa.merge_t", y, axes=(0, 2, 1))
    y = s.op("reshape", "ssa.merge", y, shape=(channels, tokens))
    return s.lif("ssa.proj", s.conv("ssa.proj", y, (channels, channels, 1)))


def spikformer(seed: int = 0, steps: int = 4, size: int = 8) -> Graph:
    """Embedding with a max-pool after the neuron, position embedding added, SSA, read-out."""
    s, channels = Sketch(seed), 8
    s.op("input", "images", shape=(1, size, size))
    x = s.lif("sps.proj", s.conv("sps.proj", "images", (channels, 1, 3, 3), padding=1))
    pool: dict[str, object] = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    x = s.op("max_pool", "sps.maxpool", x, **pool)
    x = s.op("add", "sps.add", x, s.lif("sps.rpe", s.conv("sps.rpe", x, (channels, channels, 3, 3), padding=1)))
    tokens = (size // 2) ** 2
    x = s.op("reshape", "sps.flat", x, shape=(channels, tokens))
    x = s.op("add", "block.add", x, ssa(s, x, (2, channels // 2, tokens)))
    x = s.op("reduce_mean", "gap", x, axes=(1,), keepdims=0)
    head = {"weight": s.rng.normal(0, 0.5, (3, channels)), "bias": s.rng.normal(0, 0.5, 3)}
    x = s.op("conv", "head", x, tensors=head, stride=(), padding=(), groups=1)
    return s.finish("tiny-spikformer", steps, x)


FAMILIES = {"qkformer": qkformer, "spikformer": spikformer}


def pictures(count: int, size: int = 8, channels: int = 1, seed: int = 7) -> np.ndarray:
    """Random images in 0..1, float32 [count, channels, size, size]."""
    return np.random.default_rng(seed).random((count, channels, size, size), dtype=np.float32)
