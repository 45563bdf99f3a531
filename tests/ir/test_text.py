"""The text form is stable: what a golden test or a diff shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodeploy.ir.graph import tensor
from neurodeploy.ir.text import to_text
from tests.ir.graphs import small

GOLDEN = """\
graph net stage=quantized steps=2 profile=loihi-lava
  %pixels = encode(hi=15, lo=0, shape=(1,2,2), step=0.0625) : counts[1x2x2] in 0..15
  %block.conv = conv(%pixels, groups=1, padding=(1,1), stride=(1,1), weight=int8[2x1x3x3]#b878df1e) : \
graded[2x2x2] in -675..540
  %block.lif = lif(%block.conv, bias_exp=0, dv=2048, vth=10, weight_exp=0, bias_mant=int16[2x1x1]#88a21674) : \
spikes[2x2x2]
  %flat = reshape(%block.lif, shape=(8,)) : spikes[8]
  %head = conv(%flat, groups=1, padding=(), stride=(), weight=int8[3x8]#8e6a2e27) : graded[3] in -36..92
  %logits = readout(%head, bias=int64[3]#6b4dda78) : graded[3] in -73..185
  return %logits * 0.1
"""


def test_small_graph_is_the_golden_text() -> None:
    assert to_text(small()) == GOLDEN


def test_one_weight_changes_the_text() -> None:
    graph = small()
    weight = graph.by_name["head"].tensors["weight"].copy()
    weight[0, 0] += 1
    head = replace(graph.by_name["head"], tensors={"weight": tensor(weight, np.int8)})
    other = graph.with_nodes([head if node.name == "head" else node for node in graph.nodes])
    pairs = list(zip(to_text(graph).splitlines(), to_text(other).splitlines(), strict=True))
    assert [a.split()[0] for a, b in pairs if a != b] == ["%head", "%logits"]
