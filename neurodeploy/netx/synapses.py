"""The synapses of a layer as a convolution of the graph: int8 weights, an exponent, and a window."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from neurodeploy.ir.graph import Attribute, Tensor, tensor
from neurodeploy.netx.fields import DAMAGED, UNSUPPORTED
from neurodeploy.netx.layers import Layer
from neurodeploy.netx.unpack import MAX_VALUES
from neurodeploy.netx.weights import NotExecuted, dense_as_executed, split
from neurodeploy.numerics import Int64

NUMBERS = "ND-L005"
AGAIN = "write the file again with SLAYER's export_hdf5"
OTHER = 'take semantics="slayer" (--semantics slayer) for the weights of the file'


class Refused(Exception):  # noqa: N818  (a verdict on a layer, turned into a Finding by `build`)
    """A layer cannot be held."""

    def __init__(self, code: str, need: str, have: object, mend: str) -> None:
        super().__init__(need, have)
        self.code, self.need, self.have, self.mend = code, need, str(have), mend


@dataclass(frozen=True)
class Synapses:
    """int8 weights times 2^exponent over a value, and the attributes of the convolution."""

    weight: Tensor
    exponent: int
    attributes: dict[str, Attribute]


def executed(layer: Layer) -> tuple[Int64, str]:
    """The weights that netx executes for those of a layer, and what it changes, "" for nothing. Raises Refused."""
    if layer.weight is None or layer.kind != "dense":
        return _given(layer), ""
    try:
        found = dense_as_executed(layer.weight)
    except NotExecuted as error:
        raise Refused(NUMBERS, "weights that netx runs as one matrix", error, OTHER) from error
    changed = np.flatnonzero(found != layer.weight)
    if not len(changed):
        return found, ""
    first = f"{layer.weight.flat[changed[0]]} as {found.flat[changed[0]]}"
    how = f"netx executes {len(changed)} of {found.size} weights as others (optimize_weight_bits; {first})"
    return found, f"{layer.path}: {how}; so does this network"


def _given(layer: Layer) -> Int64:
    if layer.weight is None:
        raise Refused(DAMAGED, "weights", "none", AGAIN)
    return layer.weight


def convolution(layer: Layer, weight: Int64, shape: tuple[int, ...]) -> Synapses:
    """The synapses of a conv, dense or pool layer on a value of this shape. Raises Refused."""
    if len(shape) != (1 if layer.kind == "dense" else 3):
        need = "a flatten in front of it" if layer.kind == "dense" else "an image [C, H, W]"
        raise Refused(DAMAGED, need, f"a value of shape {list(shape)}", AGAIN)
    attributes: dict[str, Attribute] = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    if layer.kind == "dense":
        attributes = {"stride": (), "padding": (), "groups": 1}
    elif layer.kind == "pool":
        weight, attributes = _pooling(layer, weight, shape)
    weight = _dilated(weight, layer.dilation) if layer.kind == "conv" else weight
    _require_shape(layer, weight, attributes, shape)
    parts = split(weight)
    if parts is None:
        need, have = "a power of two times -128..127 as weights", f"weights from {weight.min()} to {weight.max()}"
        raise Refused(NUMBERS, need, have, "train with 8-bit weights, as SLAYER's quantizer gives them")
    return Synapses(tensor(parts.weight, np.int8), parts.exponent, attributes)


def _pooling(layer: Layer, weight: Int64, shape: tuple[int, ...]) -> tuple[Int64, dict[str, Attribute]]:
    """One window a channel. SLAYER puts n % k rows of zeros behind an image of n rows (synapse/layer.py, Pool).

    The graph pads on both sides alike; zeros in front of the kernel undo what stands before the image.
    """
    spare = tuple(n % k for n, k in zip(shape[1:], layer.stride, strict=True))
    if any((n + extra) % k for n, extra, k in zip(shape[1:], spare, layer.stride, strict=True)):
        have = f"windows {list(layer.stride)} over {list(shape[1:])}, where SLAYER mixes channels"
        raise Refused(UNSUPPORTED, "a pooling that divides the image", have, "use another size of window")
    wide = np.zeros(_bounded((shape[0], 1, *(k + n for k, n in zip(layer.stride, spare, strict=True)))), np.int64)
    wide[:, :, spare[0] :, spare[1] :] = weight
    attributes: dict[str, Attribute] = {"stride": layer.stride, "padding": spare, "groups": shape[0]}
    return wide, attributes


def _dilated(weight: Int64, dilation: tuple[int, ...]) -> Int64:
    """The kernel with zeros between its taps."""
    if all(d == 1 for d in dilation):
        return weight
    taps = ((k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True))
    wide = np.zeros(_bounded((*weight.shape[:2], *taps)), np.int64)
    wide[:, :, :: dilation[0], :: dilation[1]] = weight
    return wide


def _bounded(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of weights, if a file might hold them: zeros between and around them are not stored."""
    if prod(shape) > MAX_VALUES:
        have = f"{' x '.join(map(str, shape))} with the zeros of dilation or padding"
        raise Refused(DAMAGED, f"at most {MAX_VALUES:,} weights", have, AGAIN)
    return shape


def _require_shape(layer: Layer, weight: Int64, attributes: dict[str, Attribute], shape: tuple[int, ...]) -> None:
    """Refuse weights that do not fit what comes in, or do not make what the file says."""
    stride, padding, groups = attributes["stride"], attributes["padding"], attributes["groups"]
    if not isinstance(stride, tuple) or not isinstance(padding, tuple) or not isinstance(groups, int):
        raise TypeError("attributes of another kind")
    sizes = zip(shape[1:], weight.shape[2:], stride, padding, strict=True)
    made = (len(weight), *((n + 2 * p - k) // s + 1 for n, k, s, p in sizes))
    if groups < 1 or weight.shape[1] * groups != shape[0] or len(weight) % groups or made != layer.shape:
        have = f"weights {list(weight.shape)} in {groups} group(s) over {list(shape)} make {list(made)}"
        raise Refused(DAMAGED, f"weights that make {list(layer.shape)} of what comes in", have, AGAIN)
