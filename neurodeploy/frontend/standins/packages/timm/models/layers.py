"""The former place of timm.layers."""

from ..layers import DropPath, to_2tuple, trunc_normal_

__all__ = ["DropPath", "to_2tuple", "trunc_normal_"]
