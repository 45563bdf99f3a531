"""The layers of a .net file, checked: what SLAYER's export_hdf5 writes and lava.lib.dl.netx reads (lava-dl 0.6.0)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neurodeploy.errors import Finding, InvalidFileError, UnsupportedModelError
from neurodeploy.netx.container import Container
from neurodeploy.netx.fields import DAMAGED, Fields
from neurodeploy.numerics import LOIHI_LAVA, Int64

Kind = Literal["input", "conv", "dense", "flatten", "pool"]
MAX_LAYERS = 1000
NO_MEMORY = 4096  # iDecay of a current that is gone after its step
CUBA = ("CUBA", "LOIHI")
NEURONS = {
    "SDNN": "a sigma-delta neuron: it sends differences, not spikes",
    "RF": "a resonate-and-fire neuron: its state is complex",
    "ALIF": "an adaptive threshold",
}
OTHERS = {
    "dense_rec": "recurrent synapses",
    "dense_comp": "complex synapses",
    "average": "an average over groups of outputs",
    "concat": "the outputs of several layers side by side",
    "convT": "a transposed convolution",
    "unpool": "an unpooling",
}
RETRAIN = (
    "train it with slayer.block.cuba Conv, Dense, Flatten and Pool, or leave the layer out and compute it elsewhere"
)


@dataclass(frozen=True)
class Neuron:
    """A CUBA population: decays in 1/4096 a step (4096: all of it), the threshold in weight units."""

    current_decay: int
    voltage_decay: int
    threshold: int


@dataclass(frozen=True)
class Layer:
    """One layer as the file has it, integers only.

    shape: of what it makes, [C, H, W] or [features].  weight: [out, in/groups, kh, kw] or [out, in]; of an input, the
    factor of its neuron.  bias: in weight units, a channel, or a neuron of a convolution [W, H, C] as netx takes it.
    delay: time steps, a channel.
    """

    kind: Kind
    path: str
    shape: tuple[int, ...]
    neuron: Neuron | None = None
    weight: Int64 | None = None
    bias: Int64 | None = None
    delay: Int64 | None = None
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1


def is_readout(layer: Layer) -> bool:
    """Whether a dense layer sums without forgetting, below the largest threshold: its membrane is what is read."""
    neuron = layer.neuron
    if layer.kind != "dense" or neuron is None or layer.delay is not None:
        return False
    keeps = neuron.current_decay == NO_MEMORY and neuron.voltage_decay == 0
    return keeps and neuron.threshold >= LOIHI_LAVA.threshold_max


def layers_of(container: Container, file: Path) -> tuple[Layer, ...]:
    """The layers in order.

    Raises with everything that is wrong: InvalidFileError (ND-L003) where anything is not as SLAYER writes it, else
    UnsupportedModelError (ND-L004) for what netx or neurodeploy cannot run, each layer by its path in the file.
    """
    findings: list[Finding] = []
    found = [_layer(Fields(container, f"/layer/{i}", findings)) for i in _indices(container, findings)]
    if findings:
        raise_all(findings, file)
    return tuple(layer for layer in found if layer is not None)


def raise_all(findings: list[Finding], file: Path) -> None:
    """Raise InvalidFileError where a finding says that the file is damaged, else UnsupportedModelError."""
    damaged = any(finding.code == DAMAGED for finding in findings)
    named = [_placed(finding, str(file)) for finding in findings]
    raise InvalidFileError(named) if damaged else UnsupportedModelError(named)


def _placed(finding: Finding, file: str) -> Finding:
    return Finding(finding.code, finding.layer, finding.need, finding.have, finding.next, file)


def _indices(container: Container, findings: list[Finding]) -> range:
    """netx takes the layers 0, 1, ... as many as the group has entries."""
    root = Fields(container, "/layer", findings)
    named = {path.split("/")[2] for path in container.groups if path.startswith("/layer/")}
    stray = {key.split("/")[0] for key in (*root.arrays, *root.texts)} - named
    if not named or stray or named != {str(i) for i in range(len(named))} or len(named) > MAX_LAYERS:
        have = sorted(named | stray)[:5] or "none"
        root.damaged(f"1 to {MAX_LAYERS} groups /layer/0, /layer/1, ... and nothing else there", have)
        return range(0)
    return range(len(named))


def _layer(fields: Fields) -> Layer | None:
    kind = fields.text("type")
    if kind in OTHERS:
        fields.unsupported("input, conv, dense, flatten or pool", f"{kind}: {OTHERS[kind]}", RETRAIN)
        return None
    if kind not in READERS:
        if kind:
            fields.damaged(f"a type of {', '.join(READERS)}", repr(kind))
        return None
    return READERS[kind](fields)


def _input(fields: Fields) -> Layer | None:
    shape = _shape(fields, 1, 3)
    weight, bias = (fields.array(name, 2) if fields.has(name) else None for name in ("weight", "bias"))
    for name, given in (("weight", weight), ("bias", bias)):
        if given is not None and given.size != 1:
            fields.unsupported(f"one `{name}` for all pixels", f"{given.size}", RETRAIN)
    neuron = _neuron(fields) if fields.has("neuron") else None
    return Layer("input", fields.path, shape, neuron, weight, bias) if shape else None


def _dense(fields: Fields) -> Layer | None:
    shape, weight, neuron = _shape(fields, 1, 3), _weight(fields, 2), _neuron(fields)
    if shape is None or weight is None:
        return None
    if weight.ndim != 2 or len(weight) != _product(shape):
        fields.damaged(f"`weight` of {_product(shape)} rows, as `shape` says", f"shape {list(weight.shape)}")
        return None
    return Layer("dense", fields.path, (_product(shape),), neuron, weight, *_extras(fields, len(weight)))


def _conv(fields: Fields) -> Layer | None:
    shape, weight, neuron = _shape(fields, 3, 3), _weight(fields, 5), _neuron(fields)
    windows = _windows(fields)
    groups = fields.integer("groups")
    if shape is None or weight is None or windows is None or groups is None:
        return None
    if weight.ndim not in (4, 5) or weight.shape[4:] not in ((), (1,)):
        fields.damaged("`weight` [out, in, height, width]", f"shape {list(weight.shape)}")
        return None
    weight = weight.reshape(weight.shape[:4])
    if len(weight) != shape[0]:
        fields.damaged(f"`weight` of {shape[0]} channels, as `shape` says", len(weight))
    bias, delay = _extras(fields, shape[0], (shape[2], shape[1], shape[0]))
    return Layer("conv", fields.path, shape, neuron, weight, bias, delay, *windows, groups)


def _pool(fields: Fields) -> Layer | None:
    """A window of one weight over each channel alone; netx refuses it, SLAYER runs it (synapse/layer.py, Pool)."""
    shape, weight, neuron, windows = _shape(fields, 3, 3), _weight(fields, 5), _neuron(fields), _windows(fields)
    if shape is None or weight is None or windows is None:
        return None
    stride, padding, dilation = windows
    if weight.ndim not in (4, 5) or weight.shape[:2] != (1, 1) or weight.shape[4:] not in ((), (1,)):
        fields.damaged("`weight` [1, 1, height, width]", f"shape {list(weight.shape)}")
        return None
    kernel = weight.shape[2:4]
    if stride != kernel or any(padding) or any(d != 1 for d in dilation):
        have = f"kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}"
        fields.unsupported("a pooling whose windows touch and do not overlap", have, RETRAIN)
    _, delay = _extras(fields, shape[0])
    return Layer("pool", fields.path, shape, neuron, weight.reshape(1, 1, *kernel), None, delay, stride)


def _flatten(fields: Fields) -> Layer | None:
    return Layer("flatten", fields.path, ())


READERS: Mapping[str, Callable[[Fields], Layer | None]] = {
    "input": _input, "conv": _conv, "dense": _dense, "flatten": _flatten, "pool": _pool
}  # fmt: skip


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _shape(fields: Fields, least: int, most: int) -> tuple[int, ...] | None:
    shape = fields.integers("shape")
    if shape is None:
        return None
    if not least <= len(shape) <= most or min(shape) < 1 or _product(shape) > 1 << 24:
        fields.damaged(f"`shape` of {least} to {most} positive sizes", list(shape)[:6])
        return None
    return shape


def _windows(fields: Fields) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    found = [fields.integers(name, 2) for name in ("stride", "padding", "dilation")]
    for name, values, least in zip(("stride", "padding", "dilation"), found, (1, 0, 1), strict=True):
        if values is not None and not all(least <= v < 1 << 12 for v in values):
            fields.damaged(f"`{name}` of at least {least}", values)
            return None
    stride, padding, dilation = found
    return None if stride is None or padding is None or dilation is None else (stride, padding, dilation)


def _weight(fields: Fields, rank: int) -> Int64 | None:
    if fields.has("weight/imag") or fields.has("weight_rec"):
        what = "weight_rec" if fields.has("weight_rec") else "weight/imag"
        fields.unsupported("real feed-forward synapses", f"`{what}`", RETRAIN)
        return None
    return fields.array("weight", rank)


def _extras(fields: Fields, channels: int, whole: tuple[int, ...] = ()) -> tuple[Int64 | None, Int64 | None]:
    """Bias and delay, None where there is none or none that is not 0."""
    bias = fields.array("bias", 3) if fields.has("bias") else None
    if bias is not None and bias.shape not in ((channels,), whole or (channels,)):
        fields.damaged(f"`bias` of {channels} values", f"shape {list(bias.shape)}")
        bias = None
    delay = fields.array("delay", 1) if fields.has("delay") else None
    if delay is not None and ((delay.size not in (1, channels) and fields.text("type") != "dense") or delay.min() < 0):
        fields.damaged(f"`delay` of {channels} steps, 0 or more", f"{delay.size} from {delay.min()}")
        delay = None
    return (bias if bias is not None and bias.any() else None), (delay if delay is not None and delay.any() else None)


def _neuron(fields: Fields) -> Neuron | None:
    if not fields.has("neuron"):
        fields.unsupported("a CUBA neuron", "no group `neuron`: an integrator without spikes", RETRAIN)
        return None
    own = fields.group("neuron")
    kind = own.text("type")
    if kind not in CUBA:
        known = next((why for name, why in NEURONS.items() if name in kind), "an unknown neuron")
        own.unsupported("a neuron of type CUBA", f"{kind[:40]!r}: {known}", RETRAIN)
        return None
    for problem in _unheld(own):
        own.unsupported(*problem)
    values = [own.integer(name) for name in ("iDecay", "vDecay", "vThMant")]
    current, voltage, threshold = values
    if current is None or voltage is None or threshold is None:
        return None
    for name, value, most in (("iDecay", current, 4096), ("vDecay", voltage, 4096), ("vThMant", threshold, 1 << 18)):
        if not 0 <= value <= most:
            own.damaged(f"`{name}` in 0..{most}", value)
    return Neuron(current, voltage, threshold)


def _unheld(own: Fields) -> Iterator[tuple[str, str, str]]:
    """What netx leaves out without a word, and what would then be another network than the one that was trained."""
    refractory = own.integer("refDelay", 1)
    if refractory is not None and refractory > 1:
        yield (
            "a refractory delay of 1",
            f"refDelay {refractory}, which netx ignores",
            "train with a refractory delay of 1",
        )
    graded = own.integer("gradedSpike", 0)
    if graded:
        yield "binary spikes", "gradedSpike, which netx ignores", "train with graded_spike=False"
    exponent = own.integer("weight_exp", 0)
    if exponent:
        have = f"weight_exp {exponent} of a WgtScaleBatchNorm, which netx ignores"
        yield "no exponent of the weights", have, "train with slayer.neuron.norm.MeanOnlyBatchNorm"
