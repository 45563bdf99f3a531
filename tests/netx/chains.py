"""Random chains of conv, dense and flatten with LIF: what a .net file holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodeploy.ir.graph import Graph, Node, Source, Stage, tensor
from neurodeploy.ir.proof import prove
from neurodeploy.ir.verify import types, verify

Draw = np.random.Generator


def random_chain(seed: int) -> Graph:
    """A legal, proven graph; by chance with events or an image, biases, lasting currents, delays, a head that sums."""
    draw = np.random.default_rng(seed)
    steps, events = int(draw.integers(1, 9)), bool(draw.integers(2))
    shape = (int(draw.integers(1, 3)), *map(int, draw.integers(3, 7, 2)))
    low, high = ((0, 1), (0, 255), (-128, 127))[draw.integers(3)]
    code = {"shape": shape, "step": float(np.float32(draw.choice([1.0, 0.125, 0.3]))), "lo": low, "hi": high}
    graph = Graph(
        name=f"chain-{seed}",
        stage=Stage.QUANTIZED,
        steps=steps,
        nodes=(Node("encode_events" if events else "encode", "pixels", (), code),),
        output="pixels",
        output_scale=float(draw.choice([1.0, 0.1])),
    )
    for number in range(int(draw.integers(0, 3))):
        graph = _neurons(_conv(graph, draw, f"conv{number}"), draw, f"conv{number}.lif")
    graph = _then(graph, Node("reshape", "flat", (), {"shape": (types(graph)[graph.output].size,)}))
    for number in range(int(draw.integers(1, 3))):
        graph = _dense(graph, draw, f"fc{number}", 127 if low < 0 or high > 1 else 63)
        graph = _neurons(graph, draw, f"fc{number}.lif", delays=bool(draw.integers(2)))
    if draw.integers(2):
        graph = _dense(graph, draw, "head", 40)
    bias = draw.integers(-50, 50, types(graph)[graph.output].shape)
    return verify(_then(graph, Node("readout", "logits", (), {}, {"bias": tensor(bias, np.int64)})))


def _then(graph: Graph, node: Node) -> Graph:
    placed = replace(node, inputs=(graph.output,), source=Source())
    return replace(graph, nodes=(*graph.nodes, placed), output=node.name)


def _conv(graph: Graph, draw: Draw, name: str) -> Graph:
    channels, height, width = types(graph)[graph.output].shape
    groups = channels if draw.integers(3) == 0 else 1
    kernel = (int(draw.integers(1, min(4, height + 1))), int(draw.integers(1, min(4, width + 1))))
    weight = draw.integers(-128, 128, (groups * int(draw.integers(1, 4)), channels // groups, *kernel))
    window = {"stride": tuple(map(int, draw.integers(1, 3, 2))), "padding": tuple(map(int, draw.integers(0, 2, 2)))}
    return _then(graph, Node("conv", name, (), {**window, "groups": groups}, {"weight": tensor(weight, np.int8)}))


def _dense(graph: Graph, draw: Draw, name: str, most: int) -> Graph:
    """Both signs are in it: netx changes some matrices of one sign."""
    inputs = types(graph)[graph.output].size
    weight = draw.integers(-most, most + 1, (int(draw.integers(2, 7)), inputs))
    weight.flat[:2] = 3, -5
    window = {"stride": (), "padding": (), "groups": 1}
    return _then(graph, Node("conv", name, (), window, {"weight": tensor(weight, np.int8)}))


def _neurons(graph: Graph, draw: Draw, name: str, delays: bool = False) -> Graph:
    """A population that fires now and then: its threshold is a share of what may come in."""
    value = types(graph)[graph.output]
    rank, reach = len(value.shape), value.range.magnitude
    if delays:
        late = draw.integers(0, 4, value.shape)
        graph = _then(graph, Node("delay", f"{name}.delay", (), {}, {"delay": tensor(late, np.int16)}))
    bias = draw.integers(-20, 20, value.shape[:1]).reshape(-1, *[1] * (rank - 1)) * draw.integers(2)
    own = {"vth": int(reach // draw.integers(4, 20)), "dv": int(draw.choice([0, 128, 2048, 4095])), "weight_exp": 0}
    own |= {"bias_exp": 6 if bias.any() else 0, **({"du": int(draw.choice([512, 2048]))} if draw.integers(2) else {})}
    for gentler in ({}, {"du": 4096}, {"dv": 4095, "du": 4096}):
        given = {k: v for k, v in {**own, **gentler}.items() if (k, v) != ("du", 4096)}
        made = _then(graph, Node("lif", name, (), given, {"bias_mant": tensor(bias, np.int16)}))
        if all(bound.holds for bound in prove(made) if bound.layer == name):
            break
    return made


def frames_of(graph: Graph, samples: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Samples whose codes lie in the range of the input."""
    draw, code = np.random.default_rng(seed), graph.encoders[0]
    codes = draw.integers(code.integer("lo"), code.integer("hi") + 1, (samples, *graph.image_shape))
    return (codes * np.float32(code.number("step"))).astype(np.float32)
