"""Spikformer (Zhou et al., "Spikformer: When Spiking Neural Network Meets Transformer", ICLR 2023).

Sources in the paper are named at each layer; the names of the layers follow the official CIFAR code, so that its
checkpoints load. `norm1` and `norm2` of a block are in those checkpoints and are never used.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from neurodeploy.models.layers import check, conv3x3, halve, initialise, lif, read_out, repeat_image, unit

SSA_SCALE = 0.125
SPLITTING = ("", "1", "2", "3")  # the suffixes of the four convolutions
SPLITTING_LAYERS = ("proj_conv", "proj_bn", "proj_lif", "maxpool")


@dataclass(frozen=True)
class SpikformerConfig:
    """Shape of a Spikformer; the defaults are the official CIFAR10 network 4-384 (9,330,874 parameters).

    `pools` says which of the four patch-splitting convolutions halve the map behind their neuron.
    `steps` is T, `image_size` is height and width in pixels.
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

    def __post_init__(self) -> None:
        """Raise `UsageError` naming every entry that does not fit the others."""
        check(
            [
                (self.dim % 8 == 0, "dim", "a multiple of 8", str(self.dim)),
                (self.dim % self.heads == 0, "dim", f"a multiple of {self.heads} heads", str(self.dim)),
                (len(self.pools) == 4, "pools", "4 entries, one a convolution", str(len(self.pools))),
                (self.steps > 0, "steps", "at least one time step", str(self.steps)),
            ]
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """[C, H, W] of one image."""
        return self.in_channels, self.image_size, self.image_size


def _linear_unit(module: nn.Module, name: str, x: Tensor) -> Tensor:
    """Linear layer, BatchNorm over the features and neuron: [T, B, N, C] to spikes [T, B, N, C'].

    The layers are `module`'s `{name}_linear`, `{name}_bn` and `{name}_lif`.
    """
    y = getattr(module, f"{name}_linear")(x.flatten(0, 1)).transpose(-1, -2)
    y = getattr(module, f"{name}_bn")(y).transpose(-1, -2)
    spikes: Tensor = getattr(module, f"{name}_lif")(y.reshape(*x.shape[:3], y.shape[-1]))
    return spikes


class SpikingSelfAttention(nn.Module):
    """Spiking self-attention without softmax, in the order (Q K^T) V, scaled by 0.125.

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


class MLP(nn.Module):
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


class Block(nn.Module):
    """Spiking self-attention and MLP, each added to its input, so that counts grow by at most one each."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SpikingSelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, dim * mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        mixed: Tensor = x + self.mlp(x)
        return mixed


class PatchSplitting(nn.Module):
    """Pixels [T, B, C, H, W] to tokens with counts 0..2, [T, B, N, dim]: four convolutions, a position code.

    Pooling stands behind the neuron, on spikes (the order of Spikformer). The position code is one more
    convolution, added to its input.
    """

    def __init__(self, in_channels: int, dim: int, pools: tuple[bool, ...]) -> None:
        super().__init__()
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
        x = x + unit(self, "rpe", x)
        return x.flatten(3).transpose(-1, -2)


class Spikformer(nn.Module):
    """Spikformer: images [B, C, H, W] to logits [B, classes].

    The neurons keep their membranes from call to call: reset them with
    `spikingjelly.activation_based.functional.reset_net(model)` before each call.
    Raises `UsageError` if the configuration contradicts itself.
    """

    def __init__(self, config: SpikformerConfig | None = None) -> None:
        super().__init__()
        self.config = config or SpikformerConfig()
        dim = self.config.dim
        self.patch_embed = PatchSplitting(self.config.in_channels, dim, self.config.pools)
        blocks = (Block(dim, self.config.heads, self.config.mlp_ratio) for _ in range(self.config.depth))
        self.block = nn.ModuleList(blocks)
        self.head = nn.Linear(dim, self.config.classes)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(repeat_image(x, self.config.steps))
        for block in self.block:
            x = block(x)
        return read_out(self.head, x.mean(2))
