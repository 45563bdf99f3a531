"""A network as a document of plain data: layers, bounds, choices, sizes. `--json` prints it, the tables show it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from neurodeploy.errors import Finding, InvalidFileError, NeurodeployError
from neurodeploy.ir.graph import Graph, Node, Tensor
from neurodeploy.ir.mapped import ConvWeights, Crossbar, MappedGraph, apply_views
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.proof import Bound
from neurodeploy.ir.types import ValueType
from neurodeploy.ir.verify import types


def graph_document(graph: Graph, bounds: Iterable[Bound]) -> dict[str, Any]:
    """The document of a quantized graph.

    layers: in graph order, each with its op, type and source; a LIF has its number of neurons, a conv its weights and
    the synapses that they are without sharing; a tap in the padding is none, a weight of zero is one. batch_coupled:
    the LIFs that run across the samples of a batch in the model's code; here each sample is alone. time_loop:
    "single-step" or "multi-step" for a model that was given its time steps. read_out: how the logits come about where
    the model's forward leaves that to its caller. auto: what the search for the bits was to keep and kept, empty
    where there was none. bounds: worst case and limit of every proven quantity.
    """
    known, held = types(graph), [bound_document(bound) for bound in bounds]
    code = PixelCode.of_graph(graph)
    layers, choices = [_layer(node, known) for node in graph.nodes], _choices(graph)
    return {
        "name": graph.name,
        "profile": graph.profile,
        "target": graph.metadata.get("target", ""),
        "steps": graph.steps,
        "time_loop": graph.metadata.get("time_loop", ""),
        "read_out": graph.metadata.get("read_out", ""),
        "input": list(graph.image_shape),
        "input_kind": "event frames" if code.events else "image",
        "pixel_range": [*code.range],
        "classes": known[graph.output].size,
        "output_scale": graph.output_scale,
        "parameters": _parsed(graph, "parameters", "{}", dict),
        "neurons": sum(layer.get("neurons", 0) for layer in layers),
        "weights": sum(layer.get("weights", 0) for layer in layers),
        "weight_bytes": _weight_bytes(graph, choices),
        "synapses": sum(layer.get("synapses", 0) for layer in layers),
        "layers": layers,
        "bounds": held,
        "batch_coupled": _coupled(graph),
        "auto": _parsed(graph, "auto", "{}", dict),
        "choices": choices,
        "versions": _parsed(graph, "versions", "{}", dict),
    }


def _weight_bytes(graph: Graph, choices: list[dict[str, Any]]) -> int:
    """Bytes of all weights at the bits of their layers, every weight once, as `budget` of the quantizer counts them.

    A layer whose bits nobody chose, as of an import, has those of its widest weight.
    """
    chosen = {entry["layer"]: entry["weight_bits"] for entry in choices if isinstance(entry.get("weight_bits"), int)}
    held = {node.name: node.tensors["weight"] for node in graph.of("conv")}
    return sum(-(-weight.size * (chosen.get(name) or _widest(weight)) // 8) for name, weight in held.items())


def _widest(weight: Tensor) -> int:
    """Bits of two's complement that hold every weight."""
    return max(~int(weight.min()), int(weight.max())).bit_length() + 1


def _coupled(graph: Graph) -> list[str]:
    """The LIFs whose membrane runs across the samples of a batch in the model's code."""
    found: list[Any] = _parsed(graph, "batch_coupled", "[]", list)
    if not all(isinstance(name, str) for name in found):
        raise _nonsense("batch_coupled", "entries that are no names")
    return found


def _choices(graph: Graph) -> list[dict[str, Any]]:
    """What the quantizer chose: one entry a choice, each with its layer."""
    found: list[Any] = _parsed(graph, "quantization", "[]", list)
    if not all(isinstance(entry, dict) and isinstance(entry.get("layer"), str) for entry in found):
        raise _nonsense("quantization", "entries without a layer")
    return found


def _parsed(graph: Graph, key: str, default: str, kind: type) -> Any:
    """A JSON text of the metadata. Raises InvalidFileError: an artefact can be sealed and still hold nonsense."""
    try:
        found = json.loads(graph.metadata.get(key, default))
    except (ValueError, RecursionError) as error:
        raise _nonsense(key, str(error)) from error
    if not isinstance(found, kind):
        raise _nonsense(key, f"a {type(found).__name__}, not a {kind.__name__}")
    return found


def _nonsense(key: str, have: str) -> InvalidFileError:
    return InvalidFileError(Finding("ND-R001", key, "JSON of neurodeploy in the metadata", have, "compile it again"))


def bound_document(bound: Bound) -> dict[str, Any]:
    """One bound; `used` is the share of the limit that the worst case takes."""
    top = bound.limit.magnitude
    return {
        "layer": bound.layer,
        "quantity": bound.quantity,
        "interval": [bound.interval.lo, bound.interval.hi],
        "limit": [bound.limit.lo, bound.limit.hi],
        "used": bound.interval.magnitude / top if top else 0.0,
        "holds": bound.holds,
    }


def refused_document(error: NeurodeployError) -> dict[str, Any]:
    """Why a network is on no chip as it was compiled; for a chip's own target it is quantized otherwise."""
    return {"refused": [f"{finding.layer}: {finding.need}, {finding.have}" for finding in error.findings]}


def mapped_document(mapped: MappedGraph) -> dict[str, Any]:
    """Neurons by kind, synapses with and without shared weights, and the depth in time steps of a mapped graph.

    custom_neurons: those that stock Lava has not.  period: time steps that a step takes, above 1 where attention is
    streamed.
    """
    neurons = Counter[str]()
    for population in mapped.populations:
        neurons[population.kind] += population.size
    return {
        "populations": len(mapped.populations),
        "crossbars": len(mapped.crossbars),
        "depth": mapped.depth,
        "neurons": sum(count for kind, count in neurons.items() if kind != "source"),
        "neurons_by_kind": dict(sorted(neurons.items())),
        "custom_neurons": sum(p.size for p in mapped.populations if p.custom),
        "period": mapped.period,
        "weights": sum(_stored(crossbar) for crossbar in mapped.crossbars),
        "synapses": sum(_synapses(crossbar, mapped) for crossbar in mapped.crossbars),
    }


def _layer(node: Node, known: Mapping[str, ValueType]) -> dict[str, Any]:
    value = known[node.name]
    layer: dict[str, Any] = {"name": node.name, "op": node.op, "type": str(value), "source": str(node.source)}
    if node.op == "lif":
        layer["neurons"] = value.size
    if node.op == "conv":
        weight = node.tensors["weight"]
        layer["weights"] = int(weight.size)
        layer["synapses"] = _convolved(node, known[node.inputs[0]].shape, value.shape)
    return layer


def _convolved(node: Node, before: Sequence[int], after: Sequence[int]) -> int:
    """Synapses of a convolution or a linear layer over tokens; shapes of what it reads and makes."""
    weight = node.tensors["weight"]
    if weight.ndim == 2:
        return int(weight.size) * prod(after[1:])
    return _unrolled(weight.shape, node.integers("stride"), node.integers("padding"), before[1:])


def _unrolled(weight: Sequence[int], stride: Sequence[int], padding: Sequence[int], size: Sequence[int]) -> int:
    """Synapses of a convolution without sharing: one a weight and output position whose tap is in the image.

    weight: shape [Co, Ci / groups, kernel...].  size: of the image that it reads.
    """
    count = weight[0] * weight[1]
    for kernel, step, pad, length in zip(weight[2:], stride, padding, size, strict=True):
        places = range((length + 2 * pad - kernel) // step + 1)
        count *= sum(0 <= at * step + tap - pad < length for at in places for tap in range(kernel))
    return count


def _stored(crossbar: Crossbar) -> int:
    weights = crossbar.weights
    return weights.weight.size if isinstance(weights, ConvWeights) else weights.weights.size


def _synapses(crossbar: Crossbar, mapped: MappedGraph) -> int:
    """Synapses without weight sharing, as the symbolic network counts them; a matrix does not list weights of zero."""
    weights = crossbar.weights
    if isinstance(weights, ConvWeights):
        image = apply_views(np.zeros(mapped.by_name[crossbar.source].shape, np.bool_), weights.in_views)
        return _unrolled(weights.weight.shape, weights.stride, weights.padding, image.shape[1:])
    return int(weights.weights.size)
