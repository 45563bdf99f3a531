"""QKFormer (Zhou et al., "QKFormer: Hierarchical Spiking Transformer using Q-K Attention", NeurIPS 2024).

Sources in the paper are named at each layer; the names of the layers follow the official CIFAR code, so that its
checkpoints load.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from neurodeploy.models.layers import check, conv3x3, halve, initialise, lif, read_out, repeat_image, unit

SSA_SCALE = 0.125


@dataclass(frozen=True)
class QKFormerConfig:
    """Shape of a QKFormer; the defaults are the official CIFAR10 network (6,706,234 parameters).

    `dims`, `depths`, `heads` and `pools` have one entry a stage: channels, blocks, heads, and whether its patch
    embedding halves the map. All stages but the last hold token Q-K blocks, the last one holds SSA blocks.
    `steps` is T, `image_size` is height and width in pixels.
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

    def __post_init__(self) -> None:
        """Raise `UsageError` naming every entry that does not fit the others."""
        stages = len(self.dims)
        per_stage = {"depths": self.depths, "heads": self.heads, "pools": self.pools}
        rules = [(stages > 0, "dims", "at least one stage", "none")]
        rules += [
            (len(entries) == stages, name, f"{stages} entries, one a stage", str(len(entries)))
            for name, entries in per_stage.items()
        ]
        rules += [
            (d % h == 0 and d % 2 == 0, f"dims[{i}]", f"an even multiple of {h} heads", str(d))
            for i, (d, h) in enumerate(zip(self.dims, self.heads, strict=False))
        ]
        check([*rules, (self.steps > 0, "steps", "at least one time step", str(self.steps))])

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """[C, H, W] of one image."""
        return self.in_channels, self.image_size, self.image_size


def _add_token_unit(module: nn.Module, name: str, dim: int, *, bias: bool = False) -> None:
    """Give `module` the 1x1 convolution, BatchNorm and neuron `name`_conv, `name`_bn, `name`_lif."""
    module.add_module(f"{name}_conv", nn.Conv1d(dim, dim, kernel_size=1, bias=bias))
    module.add_module(f"{name}_bn", nn.BatchNorm1d(dim))
    module.add_module(f"{name}_lif", lif())


class TokenQKAttention(nn.Module):
    """Token Q-K attention: a token's K spikes pass in a head while the neuron over its summed Q spikes fires.

    Spike counts [T, B, C, H, W] to spikes of the same shape. Paper, section 3.2, eq. 5 to 7.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        _add_token_unit(self, "q", dim)
        _add_token_unit(self, "k", dim)
        self.attn_lif = lif(threshold=0.5)
        _add_token_unit(self, "proj", dim, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        steps, batch, dim, height, width = x.shape
        tokens = x.flatten(3)
        heads = (steps, batch, self.heads, dim // self.heads, height * width)
        q = unit(self, "q", tokens).reshape(heads)
        k = unit(self, "k", tokens).reshape(heads)
        mask: Tensor = self.attn_lif(q.sum(dim=3, keepdim=True))
        y = unit(self, "proj", (mask * k).flatten(2, 3))
        return y.reshape(x.shape)


class SpikingSelfAttention(nn.Module):
    """Spiking self-attention without softmax, in the order Q (K^T V), scaled by 0.125.

    Spike counts [T, B, C, H, W] to spikes of the same shape. The official code feeds its last neuron [T*B, C, N],
    which runs the samples of a batch one after another through one membrane; here that neuron sees [T, B, C, N].
    At batch 1, which is what a chip runs, both mean the same; in larger batches a sample's result does not depend
    on the others.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for name in ("q", "k", "v"):
            _add_token_unit(self, name, dim)
        self.attn_lif = lif(threshold=0.5)
        _add_token_unit(self, "proj", dim, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(3)
        q = self._split(unit(self, "q", tokens))
        k = self._split(unit(self, "k", tokens))
        v = self._split(unit(self, "v", tokens))
        y = (q @ (k.transpose(-2, -1) @ v)) * SSA_SCALE
        y = self.attn_lif(y.transpose(3, 4).reshape(tokens.shape))
        return unit(self, "proj", y).reshape(x.shape)

    def _split(self, spikes: Tensor) -> Tensor:
        """[T, B, C, N] to [T, B, heads, N, C / heads]."""
        steps, batch, dim, tokens = spikes.shape
        return spikes.reshape(steps, batch, self.heads, dim // self.heads, tokens).transpose(3, 4)


class MLP(nn.Module):
    """Two 1x1 convolutions, each with BatchNorm and neuron: [T, B, C, H, W] to spikes of the same shape."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.mlp1_conv = nn.Conv2d(dim, hidden, kernel_size=1)
        self.mlp1_bn = nn.BatchNorm2d(hidden)
        self.mlp1_lif = lif()
        self.mlp2_conv = nn.Conv2d(hidden, dim, kernel_size=1)
        self.mlp2_bn = nn.BatchNorm2d(dim)
        self.mlp2_lif = lif()

    def forward(self, x: Tensor) -> Tensor:
        hidden = unit(self, "mlp1", x)
        return unit(self, "mlp2", hidden)


class TokenBlock(nn.Module):
    """Token Q-K attention and MLP, each added to its input, so that spike counts grow by at most one each."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.tssa = TokenQKAttention(dim, heads)
        self.mlp = MLP(dim, dim * mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tssa(x)
        mixed: Tensor = x + self.mlp(x)
        return mixed


class AttentionBlock(nn.Module):
    """Spiking self-attention and MLP, each added to its input."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.ssa = SpikingSelfAttention(dim, heads)
        self.mlp = MLP(dim, dim * mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ssa(x)
        mixed: Tensor = x + self.mlp(x)
        return mixed


class FirstEmbedding(nn.Module):
    """Pixels [T, B, C, H, W] to counts 0..2 of `dim` channels; where it pools, behind the first convolution."""

    def __init__(self, in_channels: int, dim: int, *, pool: bool) -> None:
        super().__init__()
        self.proj_conv = conv3x3(in_channels, dim // 2)
        self.proj_bn = nn.BatchNorm2d(dim // 2)
        if pool:
            self.proj_maxpool = halve()
        self.proj_lif = lif()
        self.proj1_conv = conv3x3(dim // 2, dim)
        self.proj1_bn = nn.BatchNorm2d(dim)
        self.proj1_lif = lif()
        self.proj_res_conv = nn.Conv2d(dim // 2, dim, kernel_size=1, bias=False)
        self.proj_res_bn = nn.BatchNorm2d(dim)
        self.proj_res_lif = lif()

    def forward(self, x: Tensor) -> Tensor:
        x = unit(self, "proj", x)
        shortcut = unit(self, "proj_res", x)
        return unit(self, "proj1", x) + shortcut


class NextEmbedding(nn.Module):
    """Counts [T, B, C, H, W] to counts 0..2 of `dim` channels, on half the map where it pools."""

    def __init__(self, in_channels: int, dim: int, *, pool: bool) -> None:
        super().__init__()
        self.proj3_conv = conv3x3(in_channels, dim)
        self.proj3_bn = nn.BatchNorm2d(dim)
        self.proj3_lif = lif()
        self.proj4_conv = conv3x3(dim, dim)
        self.proj4_bn = nn.BatchNorm2d(dim)
        if pool:
            self.proj4_maxpool = halve()
        self.proj4_lif = lif()
        self.proj_res_conv = nn.Conv2d(in_channels, dim, kernel_size=1, stride=2 if pool else 1, bias=False)
        self.proj_res_bn = nn.BatchNorm2d(dim)
        self.proj_res_lif = lif()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = unit(self, "proj_res", x)
        x = unit(self, "proj3", x)
        return unit(self, "proj4", x) + shortcut


class QKFormer(nn.Module):
    """QKFormer: images [B, C, H, W] to logits [B, classes].

    Stage i is `patch_embed{i}` and the blocks `stage{i}`, counted from 1. The neurons keep their membranes from call
    to call: reset them with `spikingjelly.activation_based.functional.reset_net(model)` before each call.
    Raises `UsageError` if the configuration contradicts itself.
    """

    def __init__(self, config: QKFormerConfig | None = None) -> None:
        super().__init__()
        self.config = config or QKFormerConfig()
        channels = self.config.in_channels
        for index, dim in enumerate(self.config.dims):
            embedding = (NextEmbedding if index else FirstEmbedding)(channels, dim, pool=self.config.pools[index])
            self.add_module(f"patch_embed{index + 1}", embedding)
            self.add_module(f"stage{index + 1}", self._blocks(index))
            channels = dim
        self.head = nn.Linear(channels, self.config.classes)
        self.apply(initialise)

    def _blocks(self, index: int) -> nn.ModuleList:
        """The blocks of stage `index`, counted from 0."""
        config = self.config
        block = AttentionBlock if index == len(config.dims) - 1 else TokenBlock
        sizes = config.dims[index], config.heads[index], config.mlp_ratio
        return nn.ModuleList(block(*sizes) for _ in range(config.depths[index]))

    def forward(self, x: Tensor) -> Tensor:
        x = repeat_image(x, self.config.steps)
        for index in range(1, len(self.config.dims) + 1):
            x = self.get_submodule(f"patch_embed{index}")(x)
            for block in self.get_submodule(f"stage{index}").children():
                x = block(x)
        return read_out(self.head, x.flatten(3).mean(3))
