"""Layers of a .net file as plain data, without HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.ir.graph import Graph
from neurodeploy.netx.build import to_graph
from neurodeploy.netx.container import Container
from neurodeploy.netx.layers import layers_of
from neurodeploy.netx.reading import Reading

DATA = Path(__file__).parent / "data"
FILE = Path("test.net")
CUBA = {"type": "CUBA", "iDecay": 4096, "vDecay": 1000, "vThMant": 80, "refDelay": 1, "gradedSpike": False}


def conv(**changes: Any) -> dict[str, Any]:
    """A convolution [2, 4, 4] -> [3, 4, 4]; None takes a field away."""
    window = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1}
    weight = np.arange(54.0).reshape(3, 2, 3, 3) - 20
    return {"type": "conv", "shape": [3, 4, 4], "weight": 2 * weight, **window, "neuron": CUBA} | changes


def dense(**changes: Any) -> dict[str, Any]:
    """A dense layer of 48 -> 4."""
    weight = (np.arange(192.0).reshape(4, 48) % 23) - 9
    return {"type": "dense", "shape": [4], "weight": 2 * weight, "neuron": CUBA} | changes


def neuron(**changes: Any) -> dict[str, Any]:
    return {**CUBA, **changes}


FLATTEN = {"type": "flatten", "shape": [48, 1, 1]}
NET = (conv(), FLATTEN, dense())


def container(*layers: dict[str, Any]) -> Container:
    """What `container.read` gives of a file with these layers."""
    texts: dict[str, str] = {}
    arrays: dict[str, Any] = {}
    groups = {"/layer"}

    def put(path: str, value: Any) -> None:
        if isinstance(value, dict):
            groups.add(path)
            for name, inner in value.items():
                put(f"{path}/{name}", inner)
        elif isinstance(value, str):
            texts[path] = value
        elif value is not None:
            arrays[path] = np.asarray(value)

    for place, layer in enumerate(layers):
        put(f"/layer/{place}", layer)
    return Container(frozenset(groups), texts, arrays)


def graph(*layers: dict[str, Any], steps: int = 4, **choices: Any) -> Graph:
    """The graph of a file with these layers, of frames [2, 4, 4] unless told."""
    choices = {"input_shape": (2, 4, 4), **choices}
    return to_graph(layers_of(container(*layers), FILE), Reading(steps, **choices), FILE)
