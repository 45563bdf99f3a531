"""QKFormer (Zhou et al., "QKFormer: Hierarchical Spiking Transformer using Q-K Attention", NeurIPS 2024).

The official code writes the network three times, for ImageNet, for CIFAR and for event cameras, under different names;
a dialect holds what differs, so that the checkpoints of each load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn

from neurodeploy.models.blocks import MLP, Block, SpikingSelfAttention, TokenQKAttention
from neurodeploy.models.layers import add_unit, check, conv3x3, frames, initialise, read_out, unit


class Convolution(NamedTuple):
    """A 3x3 convolution of a patch embedding: its name, what part of the width it makes, whether a pool follows."""

    name: str
    part: int
    pool: bool = False


@dataclass(frozen=True)
class Embedding:
    """A patch embedding: its convolutions, and how many of them stand in front of the shortcut's start."""

    convolutions: tuple[Convolution, ...]
    branch: int

    @property
    def before(self) -> tuple[Convolution, ...]:
        """The convolutions in front of the shortcut's start."""
        return self.convolutions[: self.branch]

    @property
    def beside(self) -> tuple[Convolution, ...]:
        """The convolutions that the shortcut goes round."""
        return self.convolutions[self.branch :]


@dataclass(frozen=True)
class Dialect:
    """What one of the official model files calls SSA and the layers of the MLP, and how it embeds patches."""

    attention: str
    mlp: str
    first: Embedding
    later: Embedding


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "cifar": Dialect(
            attention="ssa",
            mlp="mlp",
            first=Embedding((Convolution("proj", 2, pool=True), Convolution("proj1", 1)), branch=1),
            later=Embedding((Convolution("proj3", 1), Convolution("proj4", 1, pool=True)), branch=0),
        ),
        "imagenet": Dialect(
            attention="attn",
            mlp="fc",
            first=Embedding(
                (Convolution("proj", 2, pool=True), Convolution("proj1", 1, pool=True), Convolution("proj2", 1)),
                branch=1,
            ),
            later=Embedding((Convolution("proj3", 1, pool=True), Convolution("proj4", 1)), branch=0),
        ),
        "dvs": Dialect(
            attention="ssa",
            mlp="mlp",
            first=Embedding(
                (
                    Convolution("proj", 8),
                    Convolution("proj1", 4, pool=True),
                    Convolution("proj2", 2, pool=True),
                    Convolution("proj3", 1, pool=True),
                ),
                branch=2,
            ),
            later=Embedding((Convolution("proj", 1), Convolution("proj4", 1, pool=True)), branch=0),
        ),
    }
)


@dataclass(frozen=True)
class QKFormerConfig:
    """Shape of a QKFormer; the defaults are the official CIFAR10 network HST-4-384 (6,706,234 parameters).

    `dims`, `depths`, `heads` and `pools` have one entry a stage: channels, blocks, heads, and whether its patch
    embedding pools where the dialect says so. All stages but the last hold token Q-K blocks, the last one SSA blocks.
    `steps` is T, `image_size` is height and width in pixels; with `events` the input is frames [B, T, C, H, W].
    """

    image_size: int = 32
    in_channels: int = 3
    classes: int = 10
    dims: tuple[int, ...] = (96, 192, 384)
    depths: tuple[int, ...] = (1, 1, 2)
    heads: tuple[int, ...] = (8, 8, 8)
    pools: tuple[bool, ...] = (False, True, True)
    mlp_ratio: int = 4
    steps: int = 4
    dialect: str = "cifar"
    events: bool = False

    def __post_init__(self) -> None:
        """Raise `UsageError` naming every entry that does not fit the others."""
        check([(self.dialect in DIALECTS, "dialect", f"one of {', '.join(DIALECTS)}", self.dialect)])
        stages = len(self.dims)
        per_stage = {"depths": self.depths, "heads": self.heads, "pools": self.pools}
        rules = [(stages > 0, "dims", "at least one stage", "none")]
        rules += [
            (len(entries) == stages, name, f"{stages} entries, one a stage", str(len(entries)))
            for name, entries in per_stage.items()
        ]
        part = DIALECTS[self.dialect].first.convolutions[0].part
        rules += [
            (d % h == 0 and d % part == 0, f"dims[{i}]", f"a multiple of {part} and of {h} heads", str(d))
            for i, (d, h) in enumerate(zip(self.dims, self.heads, strict=False))
        ]
        check([*rules, (self.steps > 0, "steps", "at least one time step", str(self.steps))])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """[C, H, W] of one image, or [T, C, H, W] of one sample of events."""
        image = self.in_channels, self.image_size, self.image_size
        return (self.steps, *image) if self.events else image


class PatchEmbedding(nn.Module):
    """Pixels or counts [T, B, C, H, W] to counts 0..2 of `dim` channels, the sum of two ways.

    The shortcut is one 1x1 convolution, whose stride makes up for the pools that it goes round.
    """

    def __init__(self, in_channels: int, dim: int, plan: Embedding, *, pools: bool) -> None:
        super().__init__()
        self.plan = plan
        channels = [in_channels, *(dim // conv.part for conv in plan.convolutions)]
        for conv, before, after in zip(plan.convolutions, channels, channels[1:], strict=False):
            add_unit(self, conv.name, conv3x3(before, after), pool=pools and conv.pool)
        stride = 2 ** sum(pools and conv.pool for conv in plan.beside)
        shortcut = nn.Conv2d(channels[plan.branch], dim, kernel_size=1, stride=stride, bias=False)
        add_unit(self, "proj_res", shortcut)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.plan.before:
            x = unit(self, conv.name, x)
        shortcut = unit(self, "proj_res", x)
        for conv in self.plan.beside:
            x = unit(self, conv.name, x)
        return x + shortcut


class QKFormer(nn.Module):
    """QKFormer: images [B, C, H, W] or frames of events [B, T, C, H, W] to logits [B, classes].

    Stage i is `patch_embed{i}` and the blocks `stage{i}`, counted from 1. The neurons keep their membranes from call
    to call: reset them with `spikingjelly.activation_based.functional.reset_net(model)` before each call.
    Raises `UsageError` if the configuration contradicts itself.
    """

    def __init__(self, config: QKFormerConfig | None = None) -> None:
        super().__init__()
        self.config = config or QKFormerConfig()
        dialect = DIALECTS[self.config.dialect]
        channels = self.config.in_channels
        for index, dim in enumerate(self.config.dims):
            plan = dialect.later if index else dialect.first
            embedding = PatchEmbedding(channels, dim, plan, pools=self.config.pools[index])
            self.add_module(f"patch_embed{index + 1}", embedding)
            blocks = (self._block(index, dialect) for _ in range(self.config.depths[index]))
            self.add_module(f"stage{index + 1}", nn.ModuleList(blocks))
            channels = dim
        self.head = nn.Linear(channels, self.config.classes)
        self.apply(initialise)

    def _block(self, index: int, dialect: Dialect) -> Block:
        """A block of stage `index`, counted from 0."""
        dim, heads = self.config.dims[index], self.config.heads[index]
        last = index == len(self.config.dims) - 1
        attention = SpikingSelfAttention(dim, heads) if last else TokenQKAttention(dim, heads)
        name = dialect.attention if last else "tssa"
        return Block(name, attention, MLP(dim, dim * self.config.mlp_ratio, dialect.mlp))

    def forward(self, x: Tensor) -> Tensor:
        x = frames(x, self.config.steps, events=self.config.events)
        for index in range(1, len(self.config.dims) + 1):
            x = self.get_submodule(f"patch_embed{index}")(x)
            for block in self.get_submodule(f"stage{index}").children():
                x = block(x)
        return read_out(self.head, x.flatten(3).mean(3))
