"""What each op computes in PyTorch: values [T, N, *shape], or [1, N, *shape] where they are the same at every step.

Every value is a whole number held in a float; sums and products of proven values are exact in it. A table of functions
(node, *values) -> value: an op that is not in it is refused by `network`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.backends import nnpack
from torch.nn import functional as F

from neurodeploy.ir.graph import Node

Evaluate = Callable[..., Tensor]

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
LEADING = 2  # axes before those of the value: time and batch


def encode(node: Node, images: Tensor, step: Tensor) -> Tensor:
    """clip(rint(x / step), lo, hi) in float32, rint to even. step: a tensor [1], so that x is divided."""
    return (images / step).round().clamp(node.integer("lo"), node.integer("hi"))


def conv(node: Node, x: Tensor, weight: Tensor) -> Tensor:
    """Sum of weight times axon over the fan-in; a linear layer has no spatial axis."""
    groups, samples = node.integer("groups"), x.flatten(0, 1)
    if weight.ndim == 2:
        y = F.linear(samples, weight) if groups == 1 else _grouped(samples, weight, groups)
    else:
        window = (node.integers("stride"), node.integers("padding"))
        with nnpack.flags(enabled=False):  # its Winograd transforms leave the integers; PyTorch uses it without oneDNN
            y = _CONVOLUTIONS[weight.ndim - 2](samples, weight, None, *window, 1, groups)
    return y.reshape(*x.shape[:LEADING], *y.shape[1:])


def _grouped(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """A linear layer [n, Ci] whose weight [Co, Ci / groups] is in groups."""
    rows = weight.reshape(groups, weight.shape[0] // groups, -1)
    return torch.einsum("ngi,goi->ngo", x.reshape(len(x), groups, -1), rows).flatten(1)


def max_pool(node: Node, x: Tensor) -> Tensor:
    """The largest of each window; the padding does not count."""
    kernel, stride, padding = (node.integers(name) for name in ("kernel", "stride", "padding"))
    y: Tensor = _POOLS[len(kernel)](x.flatten(0, 1), kernel, stride, padding)
    return y.reshape(*x.shape[:LEADING], *y.shape[1:])


def add(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """a + b."""
    return a + b


def gate(node: Node, mask: Tensor, spikes: Tensor) -> Tensor:
    """mask AND spikes, which is their product; the mask may have fewer axes, which are those at the end."""
    return _aligned(mask, spikes) * spikes


def inhibit(node: Node, mask: Tensor, spikes: Tensor) -> Tensor:
    """spikes AND NOT mask, which is (1 - mask) spikes."""
    return (1 - _aligned(mask, spikes)) * spikes


def _aligned(mask: Tensor, spikes: Tensor) -> Tensor:
    ones = (1,) * (spikes.ndim - mask.ndim)
    return mask.reshape(*mask.shape[:LEADING], *ones, *mask.shape[LEADING:])


def spike_matmul(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """A matrix product a head."""
    return a @ b


def reduce_sum(node: Node, x: Tensor) -> Tensor:
    """Sum over axes, counted without time and batch."""
    axes = tuple(axis + LEADING for axis in node.integers("axes"))
    return x.sum(axes, keepdim=bool(node.integer("keepdims"))) if axes else x


def reshape(node: Node, x: Tensor) -> Tensor:
    """The same elements in C order."""
    return x.reshape(*x.shape[:LEADING], *node.integers("shape"))


def slice_(node: Node, x: Tensor) -> Tensor:
    """start..stop - 1 of one axis."""
    start, stop = node.integer("start"), node.integer("stop")
    return x.narrow(node.integer("axis") + LEADING, start, stop - start)


def permute(node: Node, x: Tensor) -> Tensor:
    """The axes in another order."""
    return x.permute(0, 1, *(axis + LEADING for axis in node.integers("axes")))


def delay(x: Tensor, delays: Tensor, steps: int) -> Tensor:
    """x of t - delay, 0 before the first step; delays: whole numbers that broadcast to the shape of one value."""
    every = x.expand(steps, *x.shape[1:])
    total = torch.zeros_like(every)
    for late in torch.unique(delays.clamp(max=steps)).tolist():
        shifted = torch.cat([torch.zeros_like(every[:late]), every[: steps - late]])
        total = total + shifted * (delays == late)
    return total


def readout(x: Tensor, bias: Tensor, steps: int) -> Tensor:
    """bias + the sum over T, float64 [N, classes]: whole numbers below 2^53."""
    total = x.double().sum(0) * (steps // len(x))
    return total + bias


STATELESS: dict[str, Evaluate] = {
    "max_pool": max_pool,
    "add": add,
    "gate": gate,
    "inhibit": inhibit,
    "spike_matmul": spike_matmul,
    "reduce_sum": reduce_sum,
    "reshape": reshape,
    "slice": slice_,
    "permute": permute,
}


def rank_of(node: Node) -> int:
    """Spatial axes of a window op."""
    return len(node.integers("stride"))


def known_rank(node: Node) -> bool:
    """Whether PyTorch has the window op over so many axes."""
    table = {"conv": {0, *_CONVOLUTIONS}, "max_pool": {*_POOLS}}.get(node.op)
    return table is None or rank_of(node) in table
