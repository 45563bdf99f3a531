"""Both networks on some samples, value by value, a few samples at a time; a value goes when its last reader has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.types import ValueType
from neurodeploy.ir.verify import types
from neurodeploy.numerics import PROFILES, Profile
from neurodeploy.quantize.integers import evaluate
from neurodeploy.quantize.samples import Float32, as_steps, real_value
from neurodeploy.quantize.unfold import in_parts

Array = NDArray[Any]
AT_A_TIME = 1 << 24  # values of the widest layer


def batches(graph: Graph, images: Float32) -> Iterator[Float32]:
    """The samples in parts, each [T, N, *shape]."""
    widest = graph.steps * max(value.size for value in types(graph).values())
    events = bool(graph.of("events") or graph.of("encode_events"))
    return (as_steps(images[part], events) for part in in_parts(len(images), AT_A_TIME // widest))


def multiplications(graph: Graph) -> int:
    """Weights times places of all convolutions in T steps of a sample."""
    known = types(graph)
    return graph.steps * sum(c.tensors["weight"].size * prod(known[c.name].shape[1:]) for c in graph.of("conv"))


def integer_values(
    nodes: tuple[Node, ...], known: Mapping[str, ValueType], images: Float32, profile: Profile, steps: int
) -> Iterator[tuple[Node, list[Array], Array]]:
    """Every node of a quantized graph with its inputs and its values [T, N, *shape], in order."""
    held: dict[str, Array] = {}
    left = _readers(nodes)
    for node in nodes:
        inputs = [held[name] for name in node.inputs]
        held[node.name] = evaluate(node, inputs or [images], known[node.name], profile, steps)
        yield node, inputs, held[node.name]
        _release(node, held, left)


def real_values(graph: Graph, images: Float32) -> Iterator[tuple[Node, list[Array], Array]]:
    """The same of a traced graph, in floats."""
    held: dict[str, Array] = {}
    left = _readers(graph.nodes)
    for node in graph.nodes:
        inputs = [held[name] for name in node.inputs]
        held[node.name] = real_value(node, inputs or [images], graph.steps)
        yield node, inputs, held[node.name]
        _release(node, held, left)


def _readers(nodes: tuple[Node, ...]) -> dict[str, int]:
    count = {node.name: 0 for node in nodes}
    for node in nodes:
        for name in set(node.inputs):
            count[name] += 1
    return count


def _release(node: Node, held: dict[str, Array], left: dict[str, int]) -> None:
    for name in set(node.inputs):
        left[name] -= 1
        if not left[name]:
            del held[name]


def integer_logits(graph: Graph, images: Float32) -> NDArray[np.float64]:
    """Logits [N, classes] of a quantized graph, in the float network's units."""
    known, profile = types(graph), PROFILES[graph.profile]
    parts = []
    for part in batches(graph, images):
        for node, _, value in integer_values(graph.nodes, known, part, profile, graph.steps):
            if node.name == graph.output:
                total = np.broadcast_to(value, (graph.steps, *value.shape[1:])).sum(axis=0, dtype=np.int64)
                parts.append((total + node.tensors["bias"]) * graph.output_scale)
    return np.concatenate(parts).reshape(len(images), -1)


def real_logits(graph: Graph, images: Float32) -> NDArray[np.float64]:
    """Logits [N, classes] of a traced graph."""
    parts = [
        value.mean(axis=0, dtype=np.float64)
        for part in batches(graph, images)
        for node, _, value in real_values(graph, part)
        if node.name == graph.output
    ]
    return np.concatenate(parts).reshape(len(images), -1)
