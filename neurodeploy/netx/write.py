"""Layers as the bytes of a .net file, in the form of SLAYER's export_hdf5 (lava-dl 0.6.0, block/base.py)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from neurodeploy.netx.container import require_h5py
from neurodeploy.netx.layers import Layer, Neuron
from neurodeploy.netx.own import GROUP, Own


def to_bytes(layers: tuple[Layer, ...], own: Own) -> bytes:
    """The file. Raises EnvironmentMissingError without h5py."""
    require_h5py()
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as handle:
        for layer in layers:
            _layer(handle.create_group(layer.path), layer)
        for path, value in own.facts():
            handle.create_dataset(f"{GROUP}/{path}", data=value)
    return file.getvalue()


def _layer(group: Any, layer: Layer) -> None:
    group.create_dataset("type", (1,), "S10", [layer.kind.encode("ascii")])
    facts: dict[str, Any] = {"shape": np.array(layer.shape or (1,), np.int64)}
    weight = layer.weight
    if layer.kind == "conv" and weight is not None:
        facts |= {
            "inChannels": weight.shape[1] * layer.groups,
            "outChannels": len(weight),
            "kernelSize": weight.shape[2:],
        }
        windows = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        facts |= {**windows, "groups": layer.groups}
    if layer.kind == "dense" and weight is not None:
        facts |= {"inFeatures": weight.shape[1], "outFeatures": len(weight)}
    arrays = {"weight": weight, "bias": layer.bias, "delay": layer.delay}
    facts |= {name: array.astype(np.int32) for name, array in arrays.items() if array is not None}
    for name, value in facts.items():
        group.create_dataset(name, data=value)
    if layer.neuron is not None:
        _neuron(group.create_group("neuron"), layer.neuron)


def _neuron(group: Any, neuron: Neuron) -> None:
    facts = {
        "type": "CUBA",
        "iDecay": neuron.current_decay,
        "vDecay": neuron.voltage_decay,
        "vThMant": neuron.threshold,
        "refDelay": 1,
        "gradedSpike": False,
    }
    for name, value in facts.items():
        group.create_dataset(name, data=value)
