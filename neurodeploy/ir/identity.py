"""Which network: a SHA-256 over all that its integers follow from, whatever its name and where it was compiled."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from neurodeploy.ir.graph import Graph, Node


def identity(graph: Graph) -> str:
    """Hexadecimal digits that are the same for the same quantized network, in memory and read from its artefact.

    In it: steps, profile, and of each node op, name, inputs, attributes and tensors; neither sources nor metadata.
    """
    found = hashlib.sha256(json.dumps([graph.steps, graph.profile, graph.output]).encode())
    for node in graph.nodes:
        found.update(json.dumps(_plain(node), sort_keys=True).encode())
        for name in sorted(node.tensors):
            held = np.ascontiguousarray(node.tensors[name])
            wide = held.astype(np.float64 if held.dtype.kind == "f" else np.int64)
            found.update(json.dumps([name, list(held.shape)]).encode() + wide.tobytes())
    return found.hexdigest()


def _plain(node: Node) -> list[object]:
    """A float is taken as a 32-bit one, as files hold it."""
    attributes = {
        name: float(np.float32(value)) if isinstance(value, float) else value for name, value in node.attributes.items()
    }
    return [node.op, node.name, node.inputs, attributes]
