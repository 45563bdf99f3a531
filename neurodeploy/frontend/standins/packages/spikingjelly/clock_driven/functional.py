"""Functions over whole networks."""

from __future__ import annotations

from torch import nn


def reset_net(net: nn.Module) -> None:
    """Call reset() of every module that has one."""
    for module in net.modules():
        if callable(getattr(module, "reset", None)):
            module.reset()  # type: ignore[operator]
