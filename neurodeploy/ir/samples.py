"""Legal samples of every quantized op, and random legal graphs made of them: what the executors are compared on.

A sampler takes the graph so far and a value, adds its op (and what the op needs before it) and returns the new value.
Whatever is drawn, the interval proof holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Attribute, Graph, Node, Source, Stage, Tensor, tensor
from neurodeploy.ir.infer import MOST_THRESHOLDS
from neurodeploy.ir.ops import OPS
from neurodeploy.ir.proof import node_bounds
from neurodeploy.ir.types import BYTE, SIGNED_BYTE, ValueType
from neurodeploy.numerics import LOIHI_LAVA, Profile

Shape = tuple[int, ...]
MOST_SHRINK = 4  # after so many attempts a current has no memory
MOST_SHORT = 16  # bits of a bias that int16 holds
SPANS = ((0, 1), (0, 255), (-128, 127), (-1, 0), (-100, 28), (0, 17), (-20, 235))


@dataclass
class Draft:
    """A graph in the making: its values with their types, and the source of chance."""

    rng: np.random.Generator
    steps: int
    nodes: list[Node] = field(default_factory=list)
    known: dict[str, ValueType] = field(default_factory=dict)
    profile: Profile = LOIHI_LAVA

    def pick(self, low: int, high: int) -> int:
        """An integer in low..high, both included."""
        return int(self.rng.integers(low, high, endpoint=True))

    def draw(self, low: int, high: int, shape: Shape, dtype: type[np.signedinteger]) -> Tensor:
        """A tensor of integers in low..high."""
        return tensor(self.rng.integers(low, high, shape, endpoint=True), dtype)

    def shape(self, value: str) -> Shape:
        """The shape of a value."""
        return self.known[value].shape

    def add(
        self, op: str, inputs: tuple[str, ...], tensors: Mapping[str, Tensor] | None = None, **own: Attribute
    ) -> str:
        """Add a node and return the value that it makes."""
        name = f"block.{len(self.nodes)}.{op}"
        node = Node(op, name, inputs, own, tensors or {}, Source(name, "model.py", len(self.nodes)))
        self.known[name] = OPS[op].types(node, tuple(self.known[i] for i in inputs), self.steps)
        self.nodes.append(node)
        return name

    def graph(self, output: str, name: str) -> Graph:
        """The finished graph."""
        scale = float(self.rng.random())
        nodes, profile = tuple(self.nodes), self.profile.name
        return Graph(name, Stage.QUANTIZED, self.steps, nodes, output, profile=profile, output_scale=scale)


Sampler = Callable[[Draft, str], str]


def encode(draft: Draft, value: str = "") -> str:
    """Pixels, signed or not, of up to three axes."""
    shape = tuple(draft.pick(1, top) for top in (4, 7, 7)[: draft.rng.choice([1, 2, 3, 3, 3])])
    low, high = SPANS[draft.pick(0, len(SPANS) - 1)]
    step = float(np.float32(draft.rng.uniform(0.001, 2)))
    return draft.add("encode", (), shape=shape, step=step, lo=low, hi=high)


def encode_events(draft: Draft, value: str = "") -> str:
    """Event frames, one a step: the pixels of `encode` under another op."""
    encode(draft)
    pixels = draft.nodes.pop()
    draft.known.clear()
    return draft.add("encode_events", (), None, **pixels.attributes)


def conv(draft: Draft, value: str) -> str:
    """A convolution over no, one or two axes; weights as large as the activation of a LIF allows."""
    value = _of_rank(draft, value, 1, 3)
    payload = draft.known[value].range
    if not (payload.within(BYTE) or payload.within(SIGNED_BYTE)) and len(draft.shape(value)) > 1:
        value = lif(draft, value)
    channels, *spatial = draft.shape(value)
    groups = int(draft.rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    padding = tuple(draft.pick(0, 1) for _ in spatial)
    kernel = tuple(draft.pick(1, min(3, n + 2 * p)) for n, p in zip(spatial, padding, strict=True))
    stride = tuple(draft.pick(1, 2) for _ in spatial)
    shape = (groups * draft.pick(1, 3), channels // groups, *kernel)
    top = draft.known[value].range.magnitude * max(1, prod(shape[1:]))
    high = min(127, _room(draft) // max(top, 1))
    weight = draft.draw(-high - (high == 127), high, shape, np.int8)
    return draft.add("conv", (value,), {"weight": weight}, stride=stride, padding=padding, groups=groups)


def _room(draft: Draft) -> int:
    """The largest magnitude that a LIF of any decay can sum up over the steps, with a bias; no value exceeds it."""
    return draft.profile.activation_max // (draft.steps + 4)


def lif(draft: Draft, value: str) -> str:
    """A LIF or IF population with biases, a threshold near its input, and exponents as large as the proof allows."""
    x, shape = draft.known[value], draft.shape(value)
    bias_shape, profile = tuple(n if draft.rng.random() < 0.5 else 1 for n in shape), draft.profile
    top, width = 1 << (profile.bias_bits - 1), np.int16
    if profile.bias_bits > MOST_SHORT:  # so wide that the input would rarely matter
        top, width = top >> draft.pick(0, profile.bias_bits - MOST_SHORT), np.int32
    for shrink in range(8):
        bias = draft.draw(-top >> shrink, (top - 1) >> shrink, bias_shape, width)
        own = {
            "vth": draft.pick(0, min(profile.threshold_max, x.range.magnitude + 1)),
            "dv": int(draft.rng.choice([0, 1, 2048, 2048, 4095, draft.pick(0, 4095)])),
            "weight_exp": draft.pick(0, max(0, 4 - shrink)),
            "bias_exp": draft.pick(0, max(0, profile.bias_exponent_max - shrink)),
            **_current(draft, shrink),
        }
        node = Node("lif", "", (value,), own, {"bias_mant": bias})
        if all(bound.holds for bound in node_bounds(node, draft.known, draft.steps, profile)):
            break
    return draft.add("lif", (value,), {**node.tensors, **_grouped(bias, own["vth"], shape)}, **own)


def _grouped(bias: Tensor, vth: int, shape: Shape) -> dict[str, Tensor]:
    """For about every third LIF thresholds up to vth, which differ along some of the axes.

    Drawn from chance of its own, so that graphs of a seed are those that they were, but for this.
    """
    rng = np.random.default_rng([vth, bias.size, int(np.abs(bias).sum())])
    own = [n if rng.random() < 0.5 else 1 for n in shape]
    values = np.append(rng.integers(0, vth, MOST_THRESHOLDS - 1, endpoint=True), vth)
    found = tensor(rng.choice(values[rng.integers(0, MOST_THRESHOLDS - 1) :], own), np.int32)
    legal = np.unique(found).size > 1 and found.max() == vth
    return {"thresholds": found} if legal and rng.random() < 0.7 else {}


def _current(draft: Draft, shrink: int) -> dict[str, int]:
    """Now and then a synaptic current with a memory, where that is no reason why the proof fails."""
    if draft.pick(0, 2) or shrink > MOST_SHRINK:
        return {}
    return {"du": int(draft.rng.choice([1, 1024, 2048, 4095, 4096, draft.pick(1, 4095)]))}


def delay(draft: Draft, value: str) -> str:
    """Delays of single elements or along some axes, up to a step beyond the sample."""
    shape = tuple(n if draft.pick(0, 1) else 1 for n in draft.shape(value))
    return draft.add("delay", (value,), {"delay": draft.draw(0, draft.steps + 1, shape, np.int16)})


def max_pool(draft: Draft, value: str) -> str:
    """A window over one or two axes, of spikes or of sums."""
    value = _of_rank(draft, value, 2, 3)
    spatial = draft.shape(value)[1:]
    kernel = tuple(draft.pick(1, min(3, n)) for n in spatial)
    padding = tuple(draft.pick(0, k // 2) for k in kernel)
    stride = tuple(draft.pick(1, 3) for _ in spatial)
    return draft.add("max_pool", (value,), kernel=kernel, stride=stride, padding=padding)


def add(draft: Draft, value: str) -> str:
    """The sum of two values of one shape, or of a value with itself."""
    shape = draft.shape(value)
    others = [name for name, known in draft.known.items() if known.shape == shape]
    other = str(draft.rng.choice(others))
    if draft.known[value].range.magnitude + draft.known[other].range.magnitude > _room(draft):
        value, other = lif(draft, value), lif(draft, other)
    return draft.add("add", (value, other))


def gate(draft: Draft, value: str) -> str:
    """Q-K attention: the sums of spikes over some axes, fired, mask the spikes."""
    spikes = _binary(draft, value)
    rank = len(draft.shape(spikes))
    leading = tuple(range(draft.pick(0, rank)))
    keep = draft.pick(0, 1)
    axes = _axes(draft, rank) if keep else leading
    mask = _binary(draft, draft.add("reduce_sum", (spikes,), axes=axes, keepdims=keep))
    return draft.add("gate", (mask, spikes))


def inhibit(draft: Draft, value: str) -> str:
    """The IAND residual: spikes where another value of their shape, or a mask of them, does not fire."""
    spikes = _binary(draft, value)
    others = [name for name, known in draft.known.items() if known.shape == draft.shape(spikes)]
    mask = _binary(draft, str(draft.rng.choice(others)))
    axes = _axes(draft, len(draft.shape(mask)))
    if axes and draft.pick(0, 1):
        mask = _binary(draft, draft.add("reduce_sum", (mask,), axes=axes, keepdims=1))
    return draft.add("inhibit", (mask, spikes))


def spike_matmul(draft: Draft, value: str) -> str:
    """X^T X or X X^T, on spikes, counts or signed values."""
    value = _of_rank(draft, value, 2, 4)
    rank = len(draft.shape(value))
    turned = draft.add("permute", (value,), axes=(*range(rank - 2), rank - 1, rank - 2))
    pair = (value, turned) if draft.pick(0, 1) else (turned, value)
    magnitude = draft.known[value].range.magnitude
    if magnitude**2 * draft.shape(pair[0])[-1] > _room(draft):
        return spike_matmul(draft, lif(draft, value))
    return draft.add("spike_matmul", pair)


def reduce_sum(draft: Draft, value: str) -> str:
    """The sum over some axes, kept or not."""
    shape = draft.shape(value)
    axes = _axes(draft, len(shape))
    if draft.known[value].range.magnitude * prod(shape[axis] for axis in axes) > _room(draft):
        value = lif(draft, value)
    return draft.add("reduce_sum", (value,), axes=axes, keepdims=draft.pick(0, 1))


def reshape(draft: Draft, value: str) -> str:
    """Two axes merged, an axis split, or an axis of one more."""
    shape = list(draft.shape(value))
    axis = draft.pick(0, max(len(shape) - 2, 0))
    size = shape[axis] if shape else 1
    head = int(draft.rng.choice([n for n in range(1, size + 1) if size % n == 0]))
    split = [*shape[:axis], head, size // head, *shape[axis + 1 :]]
    merged = [*shape[:axis], prod(shape[axis : axis + 2]), *shape[axis + 2 :]]
    return draft.add("reshape", (value,), shape=tuple(merged if len(split) > 4 or draft.pick(0, 1) else split))


def permute(draft: Draft, value: str) -> str:
    """The axes in any order."""
    axes = draft.rng.permutation(len(draft.shape(value)))
    return draft.add("permute", (value,), axes=tuple(int(axis) for axis in axes))


def slice_(draft: Draft, value: str) -> str:
    """A part of one axis."""
    value = _of_rank(draft, value, 1, 4)
    axis = draft.pick(0, len(draft.shape(value)) - 1)
    start = draft.pick(0, draft.shape(value)[axis] - 1)
    return draft.add("slice", (value,), axis=axis, start=start, stop=draft.pick(start + 1, draft.shape(value)[axis]))


def readout(draft: Draft, value: str) -> str:
    """The classifier: a linear layer on what is left of each neuron, and the sum over time."""
    flat = draft.add("reshape", (value,), shape=(prod(draft.shape(value)),))
    scores = conv(draft, flat)
    bias = draft.draw(-(1 << 20), 1 << 20, draft.shape(scores), np.int64)
    return draft.add("readout", (scores,), {"bias": bias})


SAMPLERS: dict[str, Sampler] = {
    sampler.__name__.rstrip("_"): sampler
    for sampler in (
        encode, encode_events, conv, lif, delay, max_pool, add, gate, inhibit, spike_matmul, reduce_sum, reshape,
        slice_, permute, readout,
    )
}  # fmt: skip
_ENDS = ("encode", "encode_events", "readout")
_INNER = ("conv", "conv", "conv", "lif", "lif", *SAMPLERS.keys() - {*_ENDS, "conv", "lif"})


def sample(op: str, seed: int) -> Graph:
    """A small legal graph with the op in it."""
    draft = _started(seed)
    value = encode_events(draft) if op == "encode_events" else encode(draft)
    if draft.pick(0, 1):
        value = lif(draft, conv(draft, value))
    if op not in _ENDS:
        value = SAMPLERS[op](draft, value)
    return draft.graph(readout(draft, value), f"{op}-{seed}")


def random_graph(seed: int, profile: Profile = LOIHI_LAVA) -> Graph:
    """A legal graph of up to about twenty nodes, with branches and now and then a value that nothing reads."""
    draft = _started(seed, profile)
    value = encode(draft) if draft.pick(0, 2) else encode_events(draft)
    for _ in range(draft.pick(2, 9)):
        recent = list(draft.known)[-3:]
        start = value if draft.rng.random() < 0.8 else str(draft.rng.choice(recent))
        value = SAMPLERS[str(draft.rng.choice(sorted(_INNER)))](draft, start)
    return draft.graph(readout(draft, value), f"random-{seed}")


def random_images(graph: Graph, count: int, seed: int) -> NDArray[np.float32]:
    """Images float32 [count, *shape] over the range of codes and beyond it, a third of them on ties of the rounding."""
    rng, node = np.random.default_rng(seed), graph.encoders[0]
    shape = (count, *graph.image_shape)
    codes = rng.uniform(node.integer("lo") - 3, node.integer("hi") + 3, shape)
    codes = np.where(rng.random(shape) < 1 / 3, np.floor(codes) + 0.5, codes)
    return (codes * node.number("step")).astype(np.float32)


def _started(seed: int, profile: Profile = LOIHI_LAVA) -> Draft:
    rng = np.random.default_rng(seed)
    return Draft(rng, int(rng.integers(1, 6, endpoint=True)), profile=profile)


def _binary(draft: Draft, value: str) -> str:
    return value if draft.known[value].kind == "spikes" else lif(draft, value)


def _axes(draft: Draft, rank: int) -> Shape:
    return tuple(axis for axis in range(rank) if draft.pick(0, 1))


def _of_rank(draft: Draft, value: str, low: int, high: int) -> str:
    """The value, with axes merged from the front or ones added at the end so that its rank lies in low..high."""
    shape = draft.shape(value)
    if low <= len(shape) <= high:
        return value
    extra = len(shape) - high
    target = (prod(shape[: extra + 1]), *shape[extra + 1 :]) if extra > 0 else (*shape, *(1,) * (low - len(shape)))
    return draft.add("reshape", (value,), shape=target)
