"""How attributes and tensors of the op table stand in the file; the writer encodes, the reader decodes.

The file has a batch axis before every value and ONNX's conventions (pads on both sides, weights with a zero point).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import DTypeLike

from neurodeploy.ir.artefact.functions import WEIGHT_ZERO, is_byte
from neurodeploy.ir.graph import Attribute, Tensor, tensor
from neurodeploy.ir.types import ValueType

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Coding:
    """A pair of functions: of the graph's form to the file's, and back."""

    encode: Callable[[Ints], Ints]
    decode: Callable[[Ints], Ints]


PLAIN = Coding(lambda v: v, lambda v: v)
_BOTH_SIDES = Coding(lambda v: v + v, lambda v: v[: len(v) // 2])
_AFTER_BATCH = Coding(lambda v: tuple(i + 1 for i in v), lambda v: tuple(i - 1 for i in v))
_BATCH_FIRST = Coding(lambda v: (0, *v), lambda v: v[1:])
_PERMUTED = Coding(lambda v: (0, *(i + 1 for i in v)), lambda v: tuple(i - 1 for i in v[1:]))

CODINGS = {
    ("conv", "padding"): _BOTH_SIDES,
    ("max_pool", "padding"): _BOTH_SIDES,
    ("reduce_sum", "axes"): _AFTER_BATCH,
    ("reshape", "shape"): _BATCH_FIRST,
    ("permute", "axes"): _PERMUTED,
}


@dataclass(frozen=True)
class Site:
    """What a node's place in the graph tells beyond its attributes: types in and out, and T."""

    inputs: tuple[ValueType, ...]
    output: ValueType
    steps: int


def _mask_shape(site: Site) -> Ints:
    mask, spikes = (x.shape for x in site.inputs)
    return (0, *(1,) * (len(spikes) - len(mask)), *mask)


def _time_first(site: Site) -> Ints:
    return (1, 0, *range(2, len(site.output.shape) + 2))


def element_type(value: ValueType) -> int:
    """The ONNX element type of a value."""
    return int(onnx.TensorProto.UINT8 if is_byte(value) else onnx.TensorProto.INT32)


# Attributes of the functions that the op table does not have, because they follow from the graph.
DERIVED: dict[str, Callable[[Site], Attribute]] = {
    "type": lambda site: element_type(site.output),
    "steps": lambda site: (site.steps,),
    "mask_shape": _mask_shape,
    "column": lambda site: (site.steps, *(1,) * (len(site.output.shape) + 1)),
    "time_first": _time_first,
}

_STORED: dict[tuple[str, str], tuple[DTypeLike, int]] = {("conv", "weight"): (np.uint8, WEIGHT_ZERO)}
TENSOR_DTYPES: dict[tuple[str, str], tuple[DTypeLike, ...]] = {
    ("conv", "weight"): (np.int8,),
    ("lif", "bias_mant"): (np.int16, np.int32, np.int64),
    ("delay", "delay"): (np.int16,),
    ("lif", "thresholds"): (np.int32,),
    ("readout", "bias"): (np.int64,),
}
ELEMENTS: dict[int, Any] = {
    onnx.TensorProto.UINT8: np.dtype("<u1"),
    onnx.TensorProto.INT16: np.dtype("<i2"),
    onnx.TensorProto.INT32: np.dtype("<i4"),
    onnx.TensorProto.INT64: np.dtype("<i8"),
}
_ELEMENT_OF = {dtype: element for element, dtype in ELEMENTS.items()}


def encode_tensor(op: str, port: str, values: Tensor, proto: onnx.TensorProto) -> None:
    """Put a tensor of a node into an initializer, little-endian; in place, for protobuf copies what it is handed."""
    dtype, zero = _STORED.get((op, port), (values.dtype, 0))
    stored = values.astype(dtype) + np.dtype(dtype).type(zero) if zero else values  # modulo 256: both have 8 bits
    little = stored.dtype.newbyteorder("<")
    proto.dims.extend(values.shape)
    proto.data_type = _ELEMENT_OF[little]
    proto.raw_data = np.ascontiguousarray(stored, dtype=little).tobytes()


def decode_tensor(op: str, port: str, proto: onnx.TensorProto) -> Tensor:
    """The tensor of a node. Raises ValueError where dtype, dimensions and bytes do not fit together."""
    if proto.data_type not in ELEMENTS:
        raise ValueError(f"element type {proto.data_type}")
    stored = np.frombuffer(proto.raw_data, ELEMENTS[proto.data_type]).reshape(tuple(proto.dims))
    if (op, port) in _STORED:
        return tensor((stored.astype(np.uint8, copy=False) - np.uint8(WEIGHT_ZERO)).view(np.int8), np.int8)
    return tensor(stored, stored.dtype.newbyteorder("="))


def encode_attribute(name: str, value: Attribute) -> onnx.AttributeProto:
    """An attribute of a function call; a float is stored as float32."""
    kinds = onnx.AttributeProto
    if isinstance(value, tuple):
        return kinds(name=name, type=kinds.INTS, ints=value)
    if isinstance(value, float):
        return kinds(name=name, type=kinds.FLOAT, f=value)
    return kinds(name=name, type=kinds.INT, i=int(value))


def decode_attribute(proto: onnx.AttributeProto) -> Attribute:
    """The value of an attribute of a kind that the op table knows. Raises ValueError for any other."""
    kinds = onnx.AttributeProto
    if proto.type == kinds.INTS:
        return tuple(proto.ints)
    if proto.type not in (kinds.INT, kinds.FLOAT):
        raise ValueError(f"attribute {proto.name} of type {proto.type}")
    return int(proto.i) if proto.type == kinds.INT else float(proto.f)
