"""The LIF population over all T steps: the integers of `numerics.lif_step` forward, surrogate gradients backward.

    u[t]      = trunc0(u[t-1] (4096 - du) / 4096) + 2^6 a[t]        (u[t] = 2^6 a[t] where nothing lasts)
    before[t] = clip(trunc0(after[t-1] (4096 - dv) / 4096) + u[t] + bias)          s[t] = before[t] > 2^6 vth
    after[t]  = before[t] (1 - s[t])

Backward, rounding is passed straight through, the reset is detached (as SpikingJelly's detach_reset), and
ds/dbefore = g'(before / unit - 1) / unit: g is a surrogate of SpikingJelly and unit the threshold in membrane units, so
that its width is that of a float neuron of threshold 1 (Neftci, Mostafa and Zenke 2019, Surrogate Gradient Learning in
Spiking Neural Networks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from spikingjelly.activation_based import surrogate as surrogates
from torch import Tensor, nn

from neurodeploy.ir.graph import Node
from neurodeploy.ir.infer import decay_of_current
from neurodeploy.numerics import Profile

FLOAT32 = 1 << 24  # every integer up to this is a float32


@dataclass(frozen=True)
class Neuron:
    """The constants of a LIF population, in membrane units but for `gain` and `keep`.

    gain: membrane units of one unit of the input.  threshold: fires above it, a scalar or [1, *shape].  inverse: of the
    threshold that the surrogate counts in.  keep, flow: what the decays leave of membrane and current.  limit: the
    largest membrane.  exact: a float type that holds each step.
    """

    steps: int
    gain: float
    threshold: Tensor
    inverse: Tensor
    keep: float
    flow: float
    limit: float
    exact: torch.dtype
    surrogate: nn.Module

    @classmethod
    def of(cls, node: Node, steps: int, profile: Profile, counts: bool, surrogate: nn.Module) -> Neuron:
        """Of a node. counts: it adds integer counts, so that `v > vth` stands for `v >= vth + 1`."""
        one = 1 << profile.threshold_shift
        vth = torch.tensor(node.tensors.get("thresholds", node.integer("vth")), dtype=torch.float64)
        unit = (vth + 1 if counts else vth.clamp(min=1)) * one
        kept = [profile.decay_unit - decay for decay in (node.integer("dv"), decay_of_current(node))]
        shifts = all(part & (part - 1) == 0 for part in kept)  # then v kept / 2^12 only changes the exponent
        exact = torch.float32 if shifts and profile.state_max < FLOAT32 else torch.float64
        keep, flow = (part / profile.decay_unit for part in kept)
        gain, limit = float(one << node.integer("weight_exp")), float(profile.state_max)
        threshold, inverse = (x.to(exact)[None] if x.ndim else x.to(exact) for x in (vth * one, 1 / unit))
        return cls(steps, gain, threshold, inverse, keep, flow, limit, exact, surrogate)

    @property
    def unit(self) -> float:
        """The largest threshold that the surrogate counts in."""
        return 1 / float(self.inverse.min())

    def run(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes [T, N, *shape] in the type of x, and membranes before the reset.

        x: [T, N, *shape], or [1, N, *shape] where every step sees the same.  bias: membrane units, broadcasts.
        """
        current = self._current(x.to(self.exact), bias.to(self.exact))
        before = current.new_empty((self.steps, *current.shape[1:]))
        spikes = torch.empty_like(before)
        held: Tensor | None = None
        for step, (v, fired) in enumerate(zip(before, spikes, strict=True)):
            drive = current[step % len(current)]
            torch.clamp(drive if held is None else held.add_(drive), -self.limit, self.limit, out=v)
            torch.gt(v, self.threshold, out=fired)
            if step + 1 < self.steps:
                held = torch.addcmul(v, v, fired, value=-1).mul_(self.keep).trunc_()
        return spikes.to(x.dtype), before

    def _current(self, x: Tensor, bias: Tensor) -> Tensor:
        """u + bias, [T or 1, N, *shape]."""
        if not self.flow:
            return torch.add(bias, x, alpha=self.gain)
        lasting = (x * self.gain).repeat(self.steps // len(x), *(1,) * (x.ndim - 1))
        for step in range(1, self.steps):
            lasting[step] += (lasting[step - 1] * self.flow).trunc_()
        return lasting.add_(bias)

    def through(self, upper: Tensor, before: Tensor) -> Tensor:
        """Gradients of the spikes taken to the membranes, float32: upper * g'(before / unit - 1) / unit."""
        excess = torch.addcmul(_minus_one(before), before, self.inverse).float()
        if type(self.surrogate) is surrogates.Sigmoid:  # in place, at a third of the cost
            alpha = float(vars(self.surrogate)["alpha"])
            rising = excess.mul_(alpha).sigmoid_()
            risen: Tensor = torch.ops.aten.sigmoid_backward(upper, rising)
            return risen.mul_((alpha * self.inverse).float())
        with torch.enable_grad():
            excess = excess.detach().requires_grad_()
            spikes = self.surrogate(excess)
        (lower,) = torch.autograd.grad(spikes, excess, upper)
        return lower * self.inverse.float()  # a copy: a surrogate may hand back `upper` itself, which others read, too


def _minus_one(like: Tensor) -> Tensor:
    return torch.tensor(-1.0, dtype=like.dtype, device=like.device)


class _Fire(torch.autograd.Function):
    """`Neuron.run` with the gradients of the module's text."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, neuron: Neuron) -> tuple[Tensor, Tensor]:
        spikes, before = neuron.run(x, bias)
        ctx.save_for_backward(spikes, before)
        ctx.neuron, ctx.bias, ctx.single = neuron, (bias.shape, bias.dtype), len(x) == 1
        ctx.mark_non_differentiable(before)
        ctx.set_materialize_grads(False)
        return spikes, before

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        upper = gradients[0]
        if upper is None:
            return None, None, None
        spikes, before = ctx.saved_tensors
        neuron: Neuron = ctx.neuron
        lower = neuron.through(upper, before)
        for step in range(neuron.steps - 2, -1, -1):
            later = lower[step + 1]
            lower[step].add_(torch.addcmul(later, later, spikes[step], value=-1), alpha=neuron.keep)
        shape, dtype = ctx.bias
        bias = lower.sum_to_size((1, 1, *shape[2:])).to(dtype, copy=True) if ctx.needs_input_grad[1] else None
        for step in range(neuron.steps - 2 if neuron.flow else -1, -1, -1):
            lower[step].add_(lower[step + 1], alpha=neuron.flow)
        if ctx.single:
            lower = lower.sum(0, keepdim=True)
        return lower.mul_(neuron.gain), bias, None


def fire(x: Tensor, bias: Tensor, neuron: Neuron) -> tuple[Tensor, Tensor]:
    """Spikes [T, N, *shape] with surrogate gradients, and membranes before the reset; x, bias as of `Neuron.run`."""
    spikes, before = _Fire.apply(x, bias, neuron)  # type: ignore[no-untyped-call]
    return spikes, before
