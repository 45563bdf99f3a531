"""Shape inference and interval transfer, one function an op: (node, input types, T) -> output type.

A function raises IllegalNode(need, have) where the node breaks the op's rules; the verifier collects these.
Intervals are exact worst cases in Python ints. On a traced graph the intervals are None and only shapes count.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from neurodeploy.ir.graph import Node, Tensor
from neurodeploy.ir.types import BINARY, Interval, ValueType
from neurodeploy.numerics import NO_MEMORY

MOST_THRESHOLDS = 4  # of a population; each costs a process on the chip

Infer = Callable[[Node, tuple[ValueType, ...], int], ValueType]


class IllegalNode(Exception):  # noqa: N818  (a verdict on a node, turned into a Finding by the verifier)
    """A node breaks the rules of its op. mend: what to do next, "" where that follows from the op."""

    def __init__(self, need: str, have: str, mend: str = "") -> None:
        super().__init__(f"needs {need}, has {have}")
        self.need, self.have, self.mend = need, have, mend


def require(condition: bool, need: str, have: object, mend: str = "") -> None:
    """Raise IllegalNode unless the condition holds."""
    if not condition:
        raise IllegalNode(need, str(have), mend)


def source_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """input: float pixels or events of one step."""
    return ValueType(node.integers("shape"))


def encode_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """encode, encode_events: integers lo..hi of the shape of the image, or of one event frame."""
    lo, hi = node.integer("lo"), node.integer("hi")
    require(-128 <= lo <= 0 <= hi <= 255 and hi - lo in range(1, 256), "8-bit codes around zero", f"{lo}..{hi}")
    require(0 < node.number("step") < float("inf"), "a positive step", node.number("step"))
    require(all(n > 0 for n in node.integers("shape")), "positive sizes", node.integers("shape"))
    return ValueType(node.integers("shape"), Interval(lo, hi))


def window_shape(node: Node, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
    """Output positions of a window (convolution or pooling): floor((n + 2p - k) / s) + 1 an axis."""
    stride, padding = node.integers("stride"), node.integers("padding")
    require(len(stride) == len(padding) == len(kernel) == len(spatial), f"rank {len(spatial)} windows", kernel)
    require(all(s > 0 for s in stride) and all(p >= 0 for p in padding), "stride > 0, padding >= 0", stride)
    out = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(spatial, kernel, stride, padding, strict=True))
    require(all(n > 0 for n in out), "a window inside the image", f"{spatial} with kernel {kernel}")
    return out


def conv_sums(weight: Tensor, axon: Interval) -> Interval:
    """Exact interval of sum(w * x) over the fan-in, x anywhere in `axon`, all output channels together."""
    flat = weight.reshape(weight.shape[0], -1)
    positive, negative = (pick(flat, 0).sum(axis=1, dtype=np.int64) for pick in (np.maximum, np.minimum))
    highs = [int(p) * axon.hi + int(n) * axon.lo for p, n in zip(positive, negative, strict=True)]
    lows = [int(p) * axon.lo + int(n) * axon.hi for p, n in zip(positive, negative, strict=True)]
    return Interval(min(lows), max(highs))


def conv_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """conv: [Ci, *S] -> [Co, *S']; a linear layer has no spatial axis or a 1x1 kernel."""
    (x,) = inputs
    weight, groups = node.tensors["weight"], node.integer("groups")
    require(len(x.shape) > 0, "an axis of channels", "a scalar")
    require(weight.ndim == len(x.shape) + 1, f"a weight of rank {len(x.shape) + 1}", f"shape {weight.shape}")
    require(weight.size > 0, "at least one weight", f"shape {weight.shape}")
    require(groups > 0 and weight.shape[0] % groups == 0, "groups that divide the channels", groups)
    require(weight.shape[1] * groups == x.shape[0], f"{weight.shape[1] * groups} input channels", x.shape[0])
    shape = (weight.shape[0], *window_shape(node, x.shape[1:], weight.shape[2:]))
    if x.interval is None:
        return ValueType(shape)
    require(np.issubdtype(weight.dtype, np.integer), "integer weights", weight.dtype)
    axon = x.range.union(Interval(0, 0)) if any(node.integers("padding")) else x.range
    return ValueType(shape, conv_sums(weight, axon))


def channelwise_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """batchnorm: y = scale[c] x + shift[c] along axis 0."""
    (x,) = inputs
    for name in ("scale", "shift"):
        require(node.tensors[name].shape == x.shape[:1], f"{name} of {x.shape[0]}", node.tensors[name].shape)
    return x


def neuron_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """neuron: a float LIF or IF population; binary spikes."""
    require(node.number("threshold") > 0, "a threshold above the reset potential", node.number("threshold"))
    require(0 <= node.number("decay") <= 1, "a decay in 0..1", node.number("decay"))
    return inputs[0]


def decay_of_current(node: Node) -> int:
    """du of a LIF: what its synaptic current loses a step, in 1/4096; all of it where the attribute is left out."""
    return node.integer("du") if "du" in node.attributes else NO_MEMORY


def lif_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """lif: binary spikes of the shape of its input."""
    (x,) = inputs
    for name, values in node.tensors.items():
        require(values.ndim == len(x.shape), f"{name} of rank {len(x.shape)}", f"shape {values.shape}")
        fits = all(b in (1, n) for b, n in zip(values.shape, x.shape, strict=True))
        require(fits, f"{name} that broadcasts to {x.shape}", values.shape)
    require(0 <= node.integer("dv") <= 4095, "dv in 0..4095", node.integer("dv"))
    require(1 <= decay_of_current(node) <= NO_MEMORY, f"du in 1..{NO_MEMORY}", decay_of_current(node))
    require(node.integer("vth") >= 0, "vth >= 0", node.integer("vth"))
    for name in ("weight_exp", "bias_exp"):
        require(0 <= node.integer(name) < 32, f"{name} in 0..31", node.integer(name))
    if "thresholds" in node.tensors:
        _require_groups(node.tensors["thresholds"], node.integer("vth"))
    return ValueType(x.shape, BINARY)


def delay_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """delay: the values of its input, and 0 where any of them comes late."""
    (x,), delay = inputs, node.tensors["delay"]
    require(np.issubdtype(delay.dtype, np.integer), "integer delays", delay.dtype)
    fits = delay.ndim == len(x.shape) and all(d in (1, n) for d, n in zip(delay.shape, x.shape, strict=True))
    require(fits, f"delays of rank {len(x.shape)} that broadcast to {x.shape}", delay.shape)
    require(delay.size > 0 and int(delay.min()) >= 0, "delays of at least 0", delay.min(initial=-1))
    return ValueType(x.shape, x.range.union(Interval(0, 0)) if delay.any() else x.range)


def _require_groups(thresholds: Tensor, vth: int) -> None:
    """Two to MOST_THRESHOLDS different thresholds, none negative, the largest of them vth: what bounds the membrane."""
    distinct = np.unique(thresholds)
    require(2 <= distinct.size <= MOST_THRESHOLDS, f"2..{MOST_THRESHOLDS} different thresholds", distinct.size)
    require(distinct[0] >= 0, "thresholds >= 0", distinct[0])
    require(distinct[-1] == vth, f"thresholds up to vth = {vth}", distinct[-1])


def max_pool_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """max_pool: the largest of each window of [C, H, W]; taps in the padding do not count."""
    (x,) = inputs
    kernel, padding = node.integers("kernel"), node.integers("padding")
    require(len(x.shape) == len(kernel) + 1 and kernel != (), f"rank {max(len(kernel), 1) + 1}", x.shape)
    require(all(k > 0 for k in kernel), "kernel > 0", kernel)
    require(all(2 * p <= k for p, k in zip(padding, kernel, strict=False)), "padding <= kernel / 2", padding)
    return ValueType((x.shape[0], *window_shape(node, x.shape[1:], kernel)), x.interval)


def add_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """add: two values of one shape."""
    a, b = inputs
    require(a.shape == b.shape, f"two values of shape {a.shape}", b.shape)
    return ValueType(a.shape, None if a.interval is None else a.range + b.range)


def broadcast_shape(a: ValueType, b: ValueType) -> tuple[int, ...]:
    """The shape of an element-wise product."""
    try:
        return tuple(np.broadcast_shapes(a.shape, b.shape))
    except ValueError:
        raise IllegalNode("shapes that broadcast", f"{a.shape} and {b.shape}") from None


def mul_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """mul: element-wise float product, with broadcast."""
    return ValueType(broadcast_shape(*inputs))


def gate_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """gate, inhibit: both binary; the mask broadcasts to the shape of the spikes."""
    mask, spikes = inputs
    require(mask.kind == "spikes" and spikes.kind == "spikes", "two binary inputs", f"{mask} and {spikes}")
    require(broadcast_shape(mask, spikes) == spikes.shape, f"a mask that broadcasts to {spikes.shape}", mask.shape)
    return ValueType(spikes.shape, BINARY)


def complement_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """complement: y = 1 - x."""
    return ValueType(inputs[0].shape)


def same_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """scale, time_mean: the type of the input."""
    return inputs[0]


def matmul_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """matmul, spike_matmul: [*B, n, k] times [*B, k, m]; the heads B are equal, no broadcast."""
    a, b = inputs
    rank = len(a.shape)
    require(rank >= 2 and rank == len(b.shape), "two matrices of one rank", f"{a.shape} and {b.shape}")
    require(a.shape[:-2] == b.shape[:-2] and a.shape[-1] == b.shape[-2], "matching axes", f"{a.shape} {b.shape}")
    interval = None if a.interval is None else (a.range * b.range).scaled(a.shape[-1])
    return ValueType((*a.shape[:-1], b.shape[-1]), interval)


def reduce_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """reduce_sum, reduce_mean: over `axes`, which are kept as 1 where keepdims is set."""
    (x,) = inputs
    axes, keep = node.integers("axes"), bool(node.integer("keepdims"))
    legal = all(0 <= axis < len(x.shape) for axis in axes) and len(set(axes)) == len(axes)
    require(legal, f"different axes below {len(x.shape)}", axes)
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes)
    count = prod(x.shape[axis] for axis in axes)
    return ValueType(shape, None if x.interval is None else x.range.scaled(count))


def reshape_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """reshape: the same elements in C order."""
    (x,) = inputs
    shape = node.integers("shape")
    require(prod(shape) == x.size and all(n > 0 for n in shape), f"{x.size} elements", shape)
    return ValueType(shape, x.interval)


def slice_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """slice: start..stop - 1 of one axis."""
    (x,) = inputs
    axis, start, stop = (node.integer(name) for name in ("axis", "start", "stop"))
    require(0 <= axis < len(x.shape), f"an axis below {len(x.shape)}", axis)
    require(0 <= start < stop <= x.shape[axis], f"0 <= start < stop <= {x.shape[axis]}", f"{start}, {stop}")
    return ValueType((*x.shape[:axis], stop - start, *x.shape[axis + 1 :]), x.interval)


def permute_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """permute: the axes in another order."""
    (x,) = inputs
    axes = node.integers("axes")
    require(sorted(axes) == list(range(len(x.shape))), f"a permutation of {len(x.shape)} axes", axes)
    return ValueType(tuple(x.shape[axis] for axis in axes), x.interval)


def readout_type(node: Node, inputs: tuple[ValueType, ...], steps: int) -> ValueType:
    """readout: logits[c] = bias[c] + sum of x[c] over the T steps."""
    (x,) = inputs
    bias = node.tensors["bias"]
    require(len(x.shape) == 1 and bias.shape == x.shape, "one value a class", f"{x.shape}, bias {bias.shape}")
    return ValueType(x.shape, x.range.scaled(steps) + Interval(int(bias.min()), int(bias.max())))
