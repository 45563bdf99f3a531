"""Small traced graphs with membrane shortcuts: currents are added before a neuron, as in Spike-driven Transformer."""

from __future__ import annotations

from neurodeploy.ir.graph import Graph
from tests.traced_graphs import Sketch, ssa

POOL: dict[str, object] = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1)}


def sdt(seed: int = 0, steps: int = 4, size: int = 8, blocks: int = 2) -> Graph:
    """Position embedding on a pooled current, spike-driven attention and MLPs on one stream, averaged into the head."""
    s, channels, tokens = Sketch(seed), 8, (size // 2) ** 2
    s.op("input", "images", shape=(1, size, size))
    x = s.lif("embed.0", s.conv("embed.0", "images", (channels, 1, 3, 3), padding=1))
    x = s.op("max_pool", "embed.pool", s.conv("embed.1", x, (channels, channels, 3, 3), padding=1), **POOL)
    rpe = s.conv("embed.rpe", s.lif("embed.final", x), (channels, channels, 3, 3), padding=1)
    x = s.op("reshape", "flat", s.op("add", "embed.add", rpe, x), shape=(channels, tokens))
    for index in range(blocks):
        x = mlp(s, f"block{index}.mlp", spike_driven(s, f"block{index}.attn", x, tokens), 8)
    return averaged(s, "tiny-sdt", x, steps)


def spike_driven(s: Sketch, name: str, x: str, tokens: int) -> str:
    """x + proj(q AND any of (k AND v) over the tokens)."""
    spikes = s.lif(f"{name}.shortcut", x)
    q, k, v = (s.lif(f"{name}.{n}", s.conv(f"{name}.{n}", spikes, (8, 8, 1))) for n in "qkv")
    counts = s.op("reduce_sum", f"{name}.sum", s.op("mul", f"{name}.kv", k, v), axes=(1,), keepdims=1)
    y = s.op("mul", f"{name}.masked", s.lif(f"{name}.talking", counts, threshold=0.5), q)
    return s.op("add", f"{name}.add", s.conv(f"{name}.proj", y, (8, 8, 1)), x)


def mlp(s: Sketch, name: str, x: str, channels: int) -> str:
    """x + fc2(lif(fc1(lif(x)))) over tokens."""
    y = s.conv(f"{name}.fc1", s.lif(f"{name}.lif1", x), (16, channels, 1))
    return s.op("add", f"{name}.add", s.conv(f"{name}.fc2", s.lif(f"{name}.lif2", y), (channels, 16, 1)), x)


def averaged(s: Sketch, name: str, x: str, steps: int) -> Graph:
    """The mean of a current over its tokens into a neuron, and the classifier."""
    x = s.lif("head", s.op("reduce_mean", "gap", x, axes=(1,), keepdims=0))
    head = {"weight": s.rng.normal(0, 0.5, (3, 8)), "bias": s.rng.normal(0, 0.5, 3)}
    x = s.op("conv", "head", x, tensors=head, stride=(), padding=(), groups=1)
    return s.finish(name, steps, x)


def maxformer(seed: int = 0, steps: int = 4, size: int = 8) -> Graph:
    """A stem that two branches read, a pooled shortcut, a depthwise block, and the spikes of SSA added to a current."""
    s, channels, tokens = Sketch(seed), 8, (size // 2) ** 2
    s.op("input", "images", shape=(1, size, size))
    x = s.conv("stem", "images", (4, 1, 3, 3), padding=1)
    branch = s.conv("stem.branch", s.lif("stem.branch_in", x), (channels, 4, 3, 3), padding=1)
    x = s.op("add", "stem.add", branch, s.conv("stem.short", s.lif("stem.short_in", x), (channels, 4, 1, 1)))
    dwc = s.conv("stage1.dwc", s.lif("stage1.dwc_in", x), (channels, 1, 3, 3), padding=1, groups=channels)
    x = s.op("add", "stage1.add", x, dwc)
    spikes = s.lif("embed2.in", x)
    short = s.op("max_pool", "embed2.short", s.conv("embed2.short", spikes, (channels, channels, 1, 1)), **POOL)
    x = s.op("max_pool", "embed2.pool", s.conv("embed2.0", spikes, (channels, channels, 3, 3), padding=1), **POOL)
    x = s.op("add", "embed2.add", s.conv("embed2.1", s.lif("embed2.1_in", x), (channels, channels, 1, 1)), short)
    x = s.op("reshape", "flat", x, shape=(channels, tokens))
    x = s.op("add", "ssa.add", x, ssa(s, s.lif("ssa.in", x), (2, channels // 2, tokens)))
    return averaged(s, "tiny-maxformer", mlp(s, "mlp", x, channels), steps)


def coded(seed: int = 0, steps: int = 4, size: int = 8) -> Graph:
    """A convolution that reads a stream, current by current, and adds the spikes that it makes to the stream."""
    s, tokens = Sketch(seed), (size // 2) ** 2
    s.op("input", "images", shape=(1, size, size))
    x = s.lif("embed.0", s.conv("embed.0", "images", (8, 1, 3, 3), padding=1))
    x = s.op("max_pool", "embed.pool", s.conv("embed.1", x, (8, 8, 3, 3), padding=1), **POOL)
    x = mlp(s, "mlp0", s.op("reshape", "flat", x, shape=(8, tokens)), 8)
    y = s.lif("mix", s.conv("mix.1", s.lif("mix.0", s.conv("mix.0", x, (16, 8, 1), gain=1.0)), (8, 16, 1)))
    return averaged(s, "tiny-coded", mlp(s, "mlp1", s.op("add", "mix.add", x, y), 8), steps)


SHORTCUTS = {"sdt": sdt, "maxformer": maxformer, "coded": coded}
