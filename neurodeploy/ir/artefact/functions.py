"""The bodies of the ops in standard ONNX: what any runtime executes when it opens an artefact.

A value is uint8 where its proven interval lies in 0..255 and int32 otherwise, of shape [T * N, *shape], time first.
Every intermediate stays below 2^31 because the interval proof holds, so the integer ops are exact: MaxPool runs on
float32, exact below 2^24. What the bodies must avoid: ONNX Runtime 1.23 has ConvInteger for uint8 only (so weights
carry a zero point of 128), and before 1.22 it crashes where the other zero point is left out; Scan bodies need a rank
and no named dimension; the decay multiplies in int64 and divides, as ONNX's Div truncates towards zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import onnx
from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import parser

from neurodeploy.ir.artefact.lif_functions import CUBA_LIF, CUBA_LIF_GROUPS, LIF, LIF_GROUPS
from neurodeploy.ir.graph import Node
from neurodeploy.ir.ops import OPS
from neurodeploy.ir.types import BYTE, ValueType

DOMAIN = "neurodeploy"
OPSET = 18
WEIGHT_ZERO = 128

Choice = Callable[[Node, tuple[ValueType, ...]], bool]


def is_byte(value: ValueType) -> bool:
    """Whether a value travels as uint8."""
    return value.range.within(BYTE)


def _always(node: Node, inputs: tuple[ValueType, ...]) -> bool:
    return True


def _all_bytes(node: Node, inputs: tuple[ValueType, ...]) -> bool:
    return all(is_byte(x) for x in inputs)


def _no_position(node: Node, inputs: tuple[ValueType, ...]) -> bool:
    return len(inputs[0].shape) == 1


def _with_current(node: Node, inputs: tuple[ValueType, ...]) -> bool:
    return "du" in node.attributes


@dataclass(frozen=True)
class Body:
    """One way to compute an op. Of an op's bodies the first whose `fits` holds for node and input types is taken.

    extras: the optional tensors of the op that it takes, all of them and no others.

    No name is that of a standard op with a required attribute: onnx's ReferenceEvaluator would ask for it.
    """

    op: str
    text: str
    fits: Choice = _always
    extras: frozenset[str] = frozenset()


_CODES = """
  step = Constant <value_float: float = @step> ()
  low_int = Constant <value_int: int = @lo> ()
  high_int = Constant <value_int: int = @hi> ()
  low = Cast <to = 1> (low_int)
  high = Cast <to = 1> (high_int)
  scaled = Div (images, step)
  rounded = Round (scaled)
  clipped = Clip (rounded, low, high)
  codes = Cast <to: int = @type> (clipped)"""

_ENCODE = f"""Encode <shape, step, lo, hi, steps, type> (images) => (y) {{{_CODES}
  steps = Constant <value_ints: ints = @steps> ()
  shape = Shape (codes)
  stacked = Concat <axis = 0> (steps, shape)
  repeated = Expand (codes, stacked)
  positions = Shape <start = 1> (codes)
  rows = Constant <value_ints = [-1]> ()
  flat = Concat <axis = 0> (rows, positions)
  y = Reshape (repeated, flat)
}}"""

_ENCODE_EVENTS = f"""EncodeEvents <shape, step, lo, hi, time_first, type> (images) => (y) {{{_CODES}
  frames = Transpose <perm: ints = @time_first> (codes)
  positions = Shape <start = 2> (frames)
  rows = Constant <value_ints = [-1]> ()
  flat = Concat <axis = 0> (rows, positions)
  y = Reshape (frames, flat)
}}"""

_CONV = """Conv <stride, padding, groups, type> (x, weight) => (y) {
  zero = Constant <value = uint8 {0}> ()
  weight_zero = Constant <value = uint8 {128}> ()
  sums = ConvInteger <strides: ints = @stride, pads: ints = @padding, group: int = @groups>
      (x, weight, zero, weight_zero)
  y = Cast <to: int = @type> (sums)
}"""

_CONV_SIGNED = """ConvSigned <stride, padding, groups, type> (x, weight) => (y) {
  zero = Constant <value = uint8 {128}> ()
  offset = Constant <value = int32 {128}> ()
  shifted = Add (x, offset)
  bytes = Cast <to = 2> (shifted)
  sums = ConvInteger <strides: ints = @stride, pads: ints = @padding, group: int = @groups> (bytes, weight, zero, zero)
  y = Cast <to: int = @type> (sums)
}"""

_CONV_DENSE = """ConvDense <stride, padding, groups, type> (x, weight) => (y) {
  groups = Constant <value_int: int = @groups> ()
  one = Constant <value_ints = [1]> ()
  same = Constant <value_ints = [0]> ()
  rest = Constant <value_ints = [-1]> ()
  group_axis = Reshape (groups, one)
  columns = Concat <axis = 0> (same, group_axis, one, rest)
  x_int = Cast <to = 6> (x)
  x_grouped = Reshape (x_int, columns)
  fan_in = Shape <start = 1> (weight)
  rows = Concat <axis = 0> (group_axis, rest, fan_in)
  offset = Constant <value = int32 {128}> ()
  weight_int = Cast <to = 6> (weight)
  weight_signed = Sub (weight_int, offset)
  weight_rows = Reshape (weight_signed, rows)
  weight_grouped = Transpose <perm = [0, 2, 1]> (weight_rows)
  product = MatMul (x_grouped, weight_grouped)
  flat = Concat <axis = 0> (same, rest)
  sums = Reshape (product, flat)
  y = Cast <to: int = @type> (sums)
}"""

_DELAY = """Delay <steps, column> (x, delay) => (y) {
  steps = Constant <value_ints: ints = @steps> ()
  rest = Constant <value_ints = [-1]> ()
  sizes = Shape <start = 1> (x)
  blocks = Concat <axis = 0> (steps, rest, sizes)
  by_step = Reshape (x, blocks)
  first = Constant <value_int = 0> ()
  one = Constant <value_int = 1> ()
  count = ReduceSum <keepdims = 0> (steps)
  row = Range (first, count, one)
  column = Constant <value_ints: ints = @column> ()
  times = Reshape (row, column)
  delay_wide = Cast <to = 7> (delay)
  sent = Sub (times, delay_wide)
  known = Max (sent, first)
  full = Shape (by_step)
  index = Expand (known, full)
  moved = GatherElements <axis = 0> (by_step, index)
  early = Less (sent, first)
  nothing = CastLike (first, x)
  late = Where (early, nothing, moved)
  shape = Shape (x)
  y = Reshape (late, shape)
}"""

_MAX_POOL = """MaxPooling <kernel, stride, padding> (x) => (y) {
  x_float = Cast <to = 1> (x)
  largest = MaxPool <kernel_shape: ints = @kernel, strides: ints = @stride, pads: ints = @padding> (x_float)
  y = CastLike (largest, x)
}"""

_ADD = """Add <type> (a, b) => (y) {
  a_int = Cast <to = 6> (a)
  b_int = Cast <to = 6> (b)
  sum = Add (a_int, b_int)
  y = Cast <to: int = @type> (sum)
}"""

_GATE = """Gate <mask_shape> (mask, spikes) => (y) {
  mask_shape = Constant <value_ints: ints = @mask_shape> ()
  mask_aligned = Reshape (mask, mask_shape)
  y = BitwiseAnd (mask_aligned, spikes)
}"""

_INHIBIT = """Inhibit <mask_shape> (mask, spikes) => (y) {
  mask_shape = Constant <value_ints: ints = @mask_shape> ()
  mask_aligned = Reshape (mask, mask_shape)
  one = Constant <value = uint8 {1}> ()
  open = BitwiseXor (mask_aligned, one)
  y = BitwiseAnd (open, spikes)
}"""

_SPIKE_MATMUL = """SpikeMatMul <type> (a, b) => (y) {
  product = MatMulInteger (a, b)
  y = Cast <to: int = @type> (product)
}"""

_SPIKE_MATMUL_WIDE = """SpikeMatMulWide <type> (a, b) => (y) {
  a_int = Cast <to = 6> (a)
  b_int = Cast <to = 6> (b)
  product = MatMul (a_int, b_int)
  y = Cast <to: int = @type> (product)
}"""

_REDUCE_SUM = """ReduceSum <axes, keepdims, type> (x) => (y) {
  axes = Constant <value_ints: ints = @axes> ()
  x_int = Cast <to = 6> (x)
  sum = ReduceSum <keepdims: int = @keepdims, noop_with_empty_axes = 1> (x_int, axes)
  y = Cast <to: int = @type> (sum)
}"""

_RESHAPE = """Reshape <shape> (x) => (y) {
  shape = Constant <value_ints: ints = @shape> ()
  y = Reshape (x, shape)
}"""

_SLICE = """Slice <axis, start, stop> (x) => (y) {
  one = Constant <value_ints = [1]> ()
  axis_int = Constant <value_int: int = @axis> ()
  axis_one = Reshape (axis_int, one)
  axis = Add (axis_one, one)
  start_int = Constant <value_int: int = @start> ()
  start = Reshape (start_int, one)
  stop_int = Constant <value_int: int = @stop> ()
  stop = Reshape (stop_int, one)
  y = Slice (x, start, stop, axis)
}"""

_PERMUTE = """Permute <axes> (x) => (y) {
  y = Transpose <perm: ints = @axes> (x)
}"""

_READOUT = """Readout <steps> (x, bias) => (y) {
  steps = Constant <value_ints: ints = @steps> ()
  rest = Constant <value_ints = [-1]> ()
  classes = Shape <start = 1> (x)
  shape = Concat <axis = 0> (steps, rest, classes)
  x_wide = Cast <to = 7> (x)
  by_step = Reshape (x_wide, shape)
  time = Constant <value_ints = [0]> ()
  total = ReduceSum <keepdims = 0> (by_step, time)
  bias_wide = Cast <to = 7> (bias)
  y = Add (total, bias_wide)
}"""

_GROUPED = frozenset({"thresholds"})

BODIES = (
    Body("encode", _ENCODE),
    Body("encode_events", _ENCODE_EVENTS),
    Body("conv", _CONV_DENSE, _no_position),
    Body("conv", _CONV, _all_bytes),
    Body("conv", _CONV_SIGNED),
    Body("lif", CUBA_LIF, _with_current),
    Body("lif", LIF),
    Body("delay", _DELAY),
    Body("lif", CUBA_LIF_GROUPS, _with_current, _GROUPED),
    Body("lif", LIF_GROUPS, extras=_GROUPED),
    Body("max_pool", _MAX_POOL),
    Body("add", _ADD),
    Body("gate", _GATE),
    Body("inhibit", _INHIBIT),
    Body("spike_matmul", _SPIKE_MATMUL, _all_bytes),
    Body("spike_matmul", _SPIKE_MATMUL_WIDE),
    Body("reduce_sum", _REDUCE_SUM),
    Body("reshape", _RESHAPE),
    Body("slice", _SLICE),
    Body("permute", _PERMUTE),
    Body("readout", _READOUT),
)


@lru_cache
def function(body: Body) -> onnx.FunctionProto:
    """The body as a function of the domain `neurodeploy`; shared, so callers must not change it."""
    header = f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>\n'
    proto = parser.parse_function(header + body.text)
    _drop_empty(proto)
    return proto


def body_for(node: Node, inputs: tuple[ValueType, ...]) -> Body:
    """The body that computes a node of a quantized graph on inputs of these types."""
    extras = node.tensors.keys() - OPS[node.op].required_tensors
    return next(body for body in BODIES if body.op == node.op and body.extras == extras and body.fits(node, inputs))


def op_names() -> dict[str, str]:
    """Function name in the file -> op of the table."""
    return {function(body).name: body.op for body in BODIES}


def _drop_empty(message: Message) -> None:
    """Clear empty strings that a parser may or may not set, so that bytes do not depend on its version."""
    for field, value in message.ListFields():
        if value == "":
            message.ClearField(field.name)
        for child in children(value):
            _drop_empty(child)


def is_text(message: Message) -> bool:
    """Whether every string of a message is UTF-8: protobuf hands others over as bytes."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING and any(isinstance(v, bytes) for v in (value, *value)):
            return False
        if not all(map(is_text, children(value))):
            return False
    return True


def children(value: object) -> Iterator[Message]:
    """The messages in the value of a field."""
    if isinstance(value, Message):
        yield value
    elif not isinstance(value, str | bytes | int | float):
        yield from (item for item in value if isinstance(item, Message))  # type: ignore[attr-defined]
