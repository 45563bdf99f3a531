"""A model file as research code publishes them: old SpikingJelly on CuPy, timm, einops, SSA over the merged batch."""

from __future__ import annotations

FILE = """
from functools import partial
import torch
from torch import nn
from spikingjelly.clock_driven import functional, layer, surrogate
from spikingjelly.clock_driven.neuron import MultiStepLIFNode, MultiStepParametricLIFNode
from timm.models import create_model
from timm.models.layers import DropPath, to_2tuple, trunc_normal_
from timm.models.registry import register_model
from timm.models.vision_transformer import _cfg
from einops.layers.torch import Rearrange

lif = partial(MultiStepLIFNode, tau=2.0, detach_reset=True, backend='cupy')


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        for name in 'qkv':
            setattr(self, name + '_conv', nn.Conv1d(dim, dim, 1, bias=False))
            setattr(self, name + '_bn', nn.BatchNorm1d(dim))
            setattr(self, name + '_lif', lif())
        self.attn_lif = lif(v_threshold=0.5)
        self.proj_conv, self.proj_bn, self.proj_lif = nn.Conv1d(dim, dim, 1), nn.BatchNorm1d(dim), lif()
        self.qkv_mp = nn.MaxPool1d(4)

    def forward(self, x):
        T, B, C, H, W = x.shape
        tokens = x.flatten(3).flatten(0, 1)

        def heads(name):
            y = getattr(self, name + '_bn')(getattr(self, name + '_conv')(tokens)).reshape(T, B, C, H * W)
            y = getattr(self, name + '_lif')(y).transpose(-1, -2)
            return y.reshape(T, B, H * W, self.heads, C // self.heads).permute(0, 1, 3, 2, 4)

        q, k, v = heads('q'), heads('k'), heads('v')
        y = q @ (k.transpose(-2, -1) @ v) * 0.125
        y = self.attn_lif(y.transpose(3, 4).reshape(T, B, C, H * W)).flatten(0, 1)
        return self.proj_lif(self.proj_bn(self.proj_conv(y))).reshape(T, B, C, W, H)


class Net(nn.Module):
    def __init__(self, dim=16, heads=2, classes=3, size=8, T=4, drop_path=0.0):
        super().__init__()
        self.T, self.size = T, to_2tuple(size)
        self.conv1, self.bn1, self.lif1 = nn.Conv2d(1, dim, 3, padding=1, bias=False), nn.BatchNorm2d(dim), lif()
        self.conv2, self.bn2 = nn.Conv2d(dim, dim, 3, padding=1, bias=False), nn.BatchNorm2d(dim)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.lif2 = MultiStepParametricLIFNode(init_tau=2.0, surrogate_function=surrogate.ATan(), backend='cupy')
        self.norm = nn.LayerNorm(dim)
        self.block = nn.ModuleList([Attention(dim, heads)])
        self.drop_path = DropPath(drop_path)
        self.head = nn.Linear(dim, classes)
        self.apply(self.init)

    def init(self, module):
        if isinstance(module, nn.Linear):
            trunc_normal_(module.weight, std=0.2)

    def forward(self, x):
        x = x.unsqueeze(0).repeat(self.T, 1, 1, 1, 1)
        T, B, C, H, W = x.shape
        x = self.lif1(self.bn1(self.conv1(x.flatten(0, 1))).reshape(T, B, -1, H, W))
        x = self.pool(self.bn2(self.conv2(x.flatten(0, 1)))).reshape(T, B, -1, H // 2, W // 2)
        x = self.lif2(x)
        for block in self.block:
            x = x + self.drop_path(block(x))
        return self.head(x.flatten(3).mean(3).mean(0))


@register_model
def former(pretrained=False, **kwargs):
    model = Net(**kwargs)
    model.default_cfg = _cfg()
    return model


@register_model
def sized(dim, *, classes, T=1):
    return Net(dim, classes=classes, T=T)


def by_name():
    model = create_model('former', pretrained=False, drop_block_rate=None, T=2)
    functional.reset_net(model)
    return model
"""
