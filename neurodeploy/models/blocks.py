"""Blocks over channels [T, B, C, *map]: the conv form of both families (all of QKFormer, Spikformer but for CIFAR)."""

from __future__ import annotations

from torch import Tensor, nn

from neurodeploy.models.layers import add_unit, lif, unit


class TokenQKAttention(nn.Module):
    """Token Q-K attention: a token's K spikes pass in a head while the neuron over its summed Q spikes fires.

    Spike counts [T, B, C, H, W] to spikes of the same shape. QKFormer paper, section 3.2, eq. 5 to 7.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        for name in ("q", "k"):
            add_unit(self, name, nn.Conv1d(dim, dim, kernel_size=1, bias=False))
        self.attn_lif = lif(threshold=0.5)
        add_unit(self, "proj", nn.Conv1d(dim, dim, kernel_size=1))

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
    """Spiking self-attention without softmax, scaled: Q (K^T V), or (Q K^T) V where the official code has that order.

    Spike counts [T, B, C, *map] to spikes of the same shape. QKFormer's official code feeds its last neuron
    [T*B, C, N], which runs the samples of a batch one after another through one membrane; here that neuron sees
    [T, B, C, N]. At batch 1, which is what a chip runs, both mean the same; in larger batches a sample's result does
    not depend on the others.
    """

    def __init__(self, dim: int, heads: int, *, scale: float = 0.125, scores_first: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.scale = scale
        self.scores_first = scores_first
        for name in ("q", "k", "v"):
            add_unit(self, name, nn.Conv1d(dim, dim, kernel_size=1, bias=False))
        self.attn_lif = lif(threshold=0.5)
        add_unit(self, "proj", nn.Conv1d(dim, dim, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(3)
        q = self._split(unit(self, "q", tokens))
        k = self._split(unit(self, "k", tokens))
        v = self._split(unit(self, "v", tokens))
        y = (q @ k.transpose(-2, -1)) @ v if self.scores_first else q @ (k.transpose(-2, -1) @ v)
        y = self.attn_lif((y * self.scale).transpose(3, 4).reshape(tokens.shape))
        return unit(self, "proj", y).reshape(x.shape)

    def _split(self, spikes: Tensor) -> Tensor:
        """[T, B, C, N] to [T, B, heads, N, C / heads]."""
        steps, batch, dim, tokens = spikes.shape
        return spikes.reshape(steps, batch, self.heads, dim // self.heads, tokens).transpose(3, 4)


class MLP(nn.Module):
    """Two 1x1 convolutions `{name}1` and `{name}2`, each with BatchNorm and neuron.

    Spike counts [T, B, C, *map] to spikes of the same shape; `conv` is the convolution of the map's dimensions.
    """

    def __init__(self, dim: int, hidden: int, name: str = "mlp", conv: type[nn.Conv1d | nn.Conv2d] = nn.Conv2d) -> None:
        super().__init__()
        self.names = f"{name}1", f"{name}2"
        for unit_name, sizes in zip(self.names, ((dim, hidden), (hidden, dim)), strict=True):
            add_unit(self, unit_name, conv(*sizes, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        for name in self.names:
            x = unit(self, name, x)
        return x


class Block(nn.Module):
    """Attention, a child of the name given, and `mlp`, each added to its input: counts grow by at most one each."""

    def __init__(self, name: str, attention: nn.Module, mlp: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, attention)
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.get_submodule(self.name)(x)
        mixed: Tensor = x + self.mlp(x)
        return mixed
