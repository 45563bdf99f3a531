"""What both families share: neuron, conv-BN-LIF unit, pooling, initial weights, checks of a configuration."""

from __future__ import annotations

from collections.abc import Iterable

from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

from neurodeploy.errors import Finding, UsageError


def lif(threshold: float = 1.0) -> nn.Module:
    """A multi-step LIF neuron over [T, ...]: tau 2, input decays, hard reset to 0, sigmoid surrogate, slope 4.

    Membrane and threshold are in the unit of the normalised input; it fires at v >= threshold.
    """
    node: nn.Module = neuron.LIFNode(
        tau=2.0,
        v_threshold=threshold,
        surrogate_function=surrogate.Sigmoid(alpha=4.0),
        detach_reset=True,
        step_mode="m",
    )
    return node


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 3x3 convolution that keeps the map's size; its bias is left to the BatchNorm behind it."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False)


def halve() -> nn.MaxPool2d:
    """The max-pool of both families: 3x3, stride 2, so that [H, W] becomes [ceil(H / 2), ceil(W / 2)]."""
    return nn.MaxPool2d(kernel_size=3, stride=2, padding=1)


def add_unit(module: nn.Module, name: str, conv: nn.Conv1d | nn.Conv2d, *, pool: bool = False) -> None:
    """Give `module` what `unit` runs: `{name}_conv`, `{name}_bn`, `{name}_maxpool` where it pools, `{name}_lif`."""
    norm = nn.BatchNorm1d if isinstance(conv, nn.Conv1d) else nn.BatchNorm2d
    module.add_module(f"{name}_conv", conv)
    module.add_module(f"{name}_bn", norm(conv.out_channels))
    if pool:
        module.add_module(f"{name}_maxpool", halve())
    module.add_module(f"{name}_lif", lif())


def unit(module: nn.Module, name: str, x: Tensor) -> Tensor:
    """Convolve, normalise, pool where there is a pool, and fire: [T, B, C, *map] to spikes [T, B, C', *map'].

    The layers are `module`'s `{name}_conv`, `{name}_bn`, `{name}_maxpool` (which may be missing) and `{name}_lif`.
    Pooling stands before the neuron, on its input (the order of QKFormer).
    """
    y = getattr(module, f"{name}_bn")(getattr(module, f"{name}_conv")(x.flatten(0, 1)))
    if hasattr(module, f"{name}_maxpool"):
        y = getattr(module, f"{name}_maxpool")(y)
    spikes: Tensor = getattr(module, f"{name}_lif")(y.reshape(x.shape[0], x.shape[1], *y.shape[1:]))
    return spikes


def initialise(module: nn.Module) -> None:
    """Initial weights of the official code: linear layers normal with deviation 0.02, bias 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def repeat_image(x: Tensor, steps: int) -> Tensor:
    """Direct coding: the image [B, C, H, W] stands still for all steps, [T, B, C, H, W]."""
    return x.unsqueeze(0).repeat(steps, 1, 1, 1, 1)


def frames(x: Tensor, steps: int, *, events: bool) -> Tensor:
    """What the first layer sees, [T, B, C, H, W]: an image `steps` times, or the frames of events [B, T, C, H, W]."""
    return x.permute(1, 0, 2, 3, 4) if events else repeat_image(x, steps)


def read_out(head: nn.Module, rates: Tensor) -> Tensor:
    """Logits [B, classes] from features [T, B, C] that are averaged over the steps first."""
    logits: Tensor = head(rates.mean(0))
    return logits


def check(rules: Iterable[tuple[bool, str, str, str]]) -> None:
    """Raise `UsageError` with a finding for every rule (holds, field, need, have) that does not hold."""
    broken = [
        Finding("ND-N001", field, need, have, "change the configuration of the model")
        for holds, field, need, have in rules
        if not holds
    ]
    if broken:
        raise UsageError(broken)
