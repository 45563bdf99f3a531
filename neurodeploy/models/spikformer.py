"""Spikformer (Zhou et al., "Spikformer: When Spiking Neural Network Meets Transformer", ICLR 2023).

Sources in the paper are named at each layer. The official code writes the blocks three times: for CIFAR with linear
layers over tokens, for ImageNet and for event cameras with convolutions over channels; a dialect holds what differs, so
that the checkpoints of each load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from types import MappingProxyType

from torch import Tensor, nn

from neurodeploy.models import blocks
from neurodeploy.models.layers import check, conv3x3, frames, halve, initialise, lif, read_out, unit

SSA_SCALE = 0.125
DVS_SCALE = 0.25
SPLITTING = ("", "1", "2", "3")  # the suffixes of the four convolutions
SPLITTING_LAYERS = ("proj_conv", "proj_bn", "proj_lif", "maxpool")


@dataclass(frozen=True)
class SpikformerConfig:
    """Shape of a Spikformer; the defaults are the official CIFAR10 network 4-384.

    `pools` says which of the four patch-splitting convolutions halve the map behind their neuron.
    `steps` is T, `image_size` is height and width in pixels; with `events` the input is frames [B, T, C, H, W].
    `norms` gives every block the layers `norm1` and `norm2`, which the official code has and never calls.
    """

    image_size: int = 32
    in_channels: int = 3
    classes: int = 10
    dim: int = 384
    depth: int = 4
    heads: int = 12
    pools: tuple[bool, bool, bool, bool] = (False, False, True, True)
    mlp_ratio: int = 4
    steps: int = 4
    dialect: str = "cifar"
    events: bool = False
    norms: bool = True

    def __post_init__(self) -> None:
        """Raise `UsageError` naming every entry that does not fit the others."""
        check(
            [
                (self.dim % 8 == 0, "dim", "a multiple of 8", str(self.dim)),
                (self.dim % self.heads == 0, "dim", f"a multiple of {self.heads} heads", str(self.dim)),
                (len(self.pools) == 4, "pools", "4 entries, one a convolution", str(len(self.pools))),
                (self.steps > 0, "steps", "at least one time step", str(self.steps)),
                (self.dialect in DIALECTS, "dialect", f"one of {', '.join(DIALECTS)}", self.dialect),
            ]
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """[C, H, W] of one image, or [T, C, H, W] of one sample of events."""
        image = self.in_channels, self.image_size, self.image_size
        return (self.steps, *image) if self.events else image


def _linear_unit(module: nn.Module, name: str, x: Tensor) -> Tensor:
    """Linear layer, BatchNorm over the features and neuron: [T, B, N, C] to spikes [T, B, N, C'].

    The layers are `module`'s `{name}_linear`, `{name}_bn` and `{name}_lif`.
    """
    y = getattr(module, f"{name}_linear")(x.flatten(0, 1)).transpose(-1, -2)
    y = getattr(module, f"{name}_bn")(y).transpose(-1, -2)
    spikes: Tensor = getattr(module, f"{name}_lif")(y.reshape(*x.shape[:3], y.shape[-1]))
    return spikes


class LinearAttention(nn.Module):
    """Spiking self-attention without softmax, in the order (Q K^T) V, scaled by 0.125, of linear layers over tokens.

    Spike counts [T, B, N, C] to spikes of the same shape. Paper, section 3.3, eq. 11 to 14.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for name in ("q", "k", "v", "proj"):
            self.add_module(f"{name}_linear", nn.Linear(dim, dim))
            self.add_module(f"{name}_bn", nn.BatchNorm1d(dim))
            self.add_module(f"{name}_lif", lif())
        self.attn_lif = lif(threshold=0.5)

    def forward(self, x: Tensor) -> Tensor:
        q = self._split(_linear_unit(self, "q", x))
        k = self._split(_linear_unit(self, "k", x))
        v = self._split(_linear_unit(self, "v", x))
        y = (q @ k.transpose(-2, -1)) * SSA_SCALE @ v
        y = self.attn_lif(y.transpose(2, 3).reshape(x.shape))
        return _linear_unit(self, "proj", y)

    def _split(self, spikes: Tensor) -> Tensor:
        """[T, B, N, C] to [T, B, heads, N, C / heads]."""
        steps, batch, tokens, dim = spikes.shape
        return spikes.reshape(steps, batch, tokens, self.heads, dim // self.heads).transpose(2, 3)


class LinearMLP(nn.Module):
    """Two linear layers, each with BatchNorm and neuron: [T, B, N, C] to spikes of the same shape."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1_linear = nn.Linear(dim, hidden)
        self.fc1_bn = nn.BatchNorm1d(hidden)
        self.fc1_lif = lif()
        self.fc2_linear = nn.Linear(hidden, dim)
        self.fc2_bn = nn.BatchNorm1d(dim)
        self.fc2_lif = lif()

    def forward(self, x: Tensor) -> Tensor:
        hidden = _linear_unit(self, "fc1", x)
        return _linear_unit(self, "fc2", hidden)


@dataclass(frozen=True)
class Dialect:
    """What one of the official model files makes its blocks of, and how these see the map [T, B, C, H, W].

    `attention(dim, heads)` and `mlp(dim, hidden)` build modules, `arrange` turns the map into what they take, and
    `average` is the mean over its tokens, [T, B, C].
    """

    attention: Callable[[int, int], nn.Module]
    mlp: Callable[[int, int], nn.Module]
    arrange: Callable[[Tensor], Tensor]
    average: Callable[[Tensor], Tensor]


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "cifar": Dialect(  # [T, B, N, C]
            LinearAttention, LinearMLP, lambda x: x.flatten(3).transpose(-1, -2), lambda x: x.mean(2)
        ),
        "imagenet": Dialect(  # [T, B, C, H, W]
            blocks.SpikingSelfAttention, partial(blocks.MLP, name="fc"), lambda x: x, lambda x: x.flatten(3).mean(3)
        ),
        "dvs": Dialect(  # [T, B, C, N]
            partial(blocks.SpikingSelfAttention, scale=DVS_SCALE, scores_first=True),
            partial(blocks.MLP, name="fc", conv=nn.Conv1d),
            lambda x: x.flatten(3),
            lambda x: x.mean(3),
        ),
    }
)


class PatchSplitting(nn.Module):
    """Pixels [T, B, C, H, W] to counts 0..2 of `dim` channels: four convolutions, a position code.

    Pooling stands behind the neuron, on spikes (the order of Spikformer). The position code is one more
    convolution, added to its input.
    """

    def __init__(self, in_channels: int, dim: int, pools: tuple[bool, ...], dialect: str) -> None:
        super().__init__()
        self.dialect = dialect
        channels = (in_channels, dim // 8, dim // 4, dim // 2, dim)
        for suffix, pool, (before, after) in zip(SPLITTING, pools, pairwise(channels), strict=True):
            self.add_module(f"proj_conv{suffix}", conv3x3(before, after))
            self.add_module(f"proj_bn{suffix}", nn.BatchNorm2d(after))
            self.add_module(f"proj_lif{suffix}", lif())
            self.add_module(f"maxpool{suffix}", halve() if pool else nn.Identity())
        self.rpe_conv = conv3x3(dim, dim)
        self.rpe_bn = nn.BatchNorm2d(dim)
        self.rpe_lif = lif()

    def forward(self, x: Tensor) -> Tensor:
        for suffix in SPLITTING:
            conv, norm, fire, pool = (getattr(self, f"{name}{suffix}") for name in SPLITTING_LAYERS)
            y = norm(conv(x.flatten(0, 1)))
            spikes = fire(y.reshape(x.shape[0], x.shape[1], *y.shape[1:]))
            y = pool(spikes.flatten(0, 1))
            x = y.reshape(x.shape[0], x.shape[1], *y.shape[1:])
        return DIALECTS[self.dialect].arrange(x + unit(self, "rpe", x))


class Spikformer(nn.Module):
    """Spikformer: images [B, C, H, W] or frames of events [B, T, C, H, W] to logits [B, classes].

    The neurons keep their membranes from call to call: reset them with
    `spikingjelly.activation_based.functional.reset_net(model)` before each call.
    Raises `UsageError` if the configuration contradicts itself.
    """

    def __init__(self, config: SpikformerConfig | None = None) -> None:
        super().__init__()
        self.config = config or SpikformerConfig()
        dim = self.config.dim
        self.patch_embed = PatchSplitting(self.config.in_channels, dim, self.config.pools, self.config.dialect)
        self.block = nn.ModuleList(self._block() for _ in range(self.config.depth))
        self.head = nn.Linear(dim, self.config.classes)
        self.apply(initialise)

    def _block(self) -> blocks.Block:
        dim, dialect = self.config.dim, DIALECTS[self.config.dialect]
        mlp = dialect.mlp(dim, dim * self.config.mlp_ratio)
        block = blocks.Block("attn", dialect.attention(dim, self.config.heads), mlp)
        for name in ("norm1", "norm2") if self.config.norms else ():
            block.add_module(name, nn.LayerNorm(dim))
        return block

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(frames(x, self.config.steps, events=self.config.events))
        for block in self.block:
            x = block(x)
        return read_out(self.head, DIALECTS[self.config.dialect].average(x))
