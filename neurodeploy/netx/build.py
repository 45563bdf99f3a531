"""The layers of a .net file as a quantized graph whose integers are those that netx computes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np

from neurodeploy.errors import Finding, UsageError
from neurodeploy.ir.graph import EVENTS, Attribute, Graph, Node, Source, Stage, Tensor, tensor
from neurodeploy.ir.infer import conv_sums
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.ir.verify import verify
from neurodeploy.netx.fields import DAMAGED, UNSUPPORTED
from neurodeploy.netx.layers import NO_MEMORY, Layer, Neuron, is_readout, raise_all
from neurodeploy.netx.reading import USAGE, Names, Reading
from neurodeploy.netx.synapses import AGAIN, NUMBERS, Refused, Synapses, convolution, executed
from neurodeploy.netx.unpack import MAX_BYTES, VALUE
from neurodeploy.numerics import LOIHI_LAVA, Int64

BIAS_EXP = 6  # of netx: a bias counts in weight units
INPUT_GAIN = 64  # of an input layer without a weight of its own
DELAY_MAX = LOIHI_LAVA.delay_max
MAX_WEIGHTS = MAX_BYTES // VALUE
SHAPED = "; or correct input_shape (--input-shape)"
SMALLER = "fewer steps, or smaller weights in the last layer"


@dataclass
class _Draft:
    """The graph as far as it has come. value, shape, span: of the last node.  weights: how many there are."""

    reading: Reading
    names: Names
    nodes: list[Node] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    value: str = ""
    shape: tuple[int, ...] = ()
    span: Interval = BINARY
    weights: int = 0

    def emit(
        self,
        op: str,
        name: str,
        own: Mapping[str, Attribute],
        tensors: Mapping[str, Tensor] | None = None,
        path: str = "",
    ) -> None:
        """A node that reads the last value."""
        inputs = (self.value,) if self.value else ()
        self.nodes.append(Node(op, name, inputs, own, tensors or {}, Source(path)))
        self.value = name


def to_graph(layers: tuple[Layer, ...], reading: Reading, file: Path, names: Names | None = None) -> Graph:
    """The quantized graph. Its metadata `imported` tells the file, the semantics, and what netx does of its own.

    The logits are the spikes of the last layer, counted over T; of a last dense layer that neither fires nor forgets,
    its membrane in weight units.
    Raises UsageError, UnsupportedModelError or InvalidFileError with everything that is wrong. The widths are left to
    the interval proof.
    """
    reading.check()
    draft, findings = _Draft(reading, names or Names()), list[Finding]()
    head = layers[-1] if layers and is_readout(layers[-1]) else None
    for layer in layers:
        findings += _problems(draft, layer, head)
        if not draft.shape or draft.weights > MAX_WEIGHTS:
            break
    if findings:
        raise_all(findings, file)
    return verify(_finished(draft, head, file))


def _problems(draft: _Draft, layer: Layer, head: Layer | None) -> list[Finding]:
    """Add a layer to the draft; what is wrong with it."""
    try:
        if not draft.shape:
            _input(draft, layer)
        (_head if layer is head else _layer)(draft, layer)
    except Refused as refusal:
        draft.shape, draft.span = layer.shape or draft.shape, BINARY
        mend = refusal.mend + (SHAPED if draft.reading.input_shape and refusal.mend == AGAIN else "")
        return [Finding(refusal.code, layer.path, refusal.need, refusal.have, mend)]
    return []


def _finished(draft: _Draft, head: Layer | None, file: Path) -> Graph:
    _flatten(draft, "")
    steps, bias = draft.reading.steps, np.zeros(draft.shape, np.int64)
    if head is not None and head.bias is not None:
        bias = head.bias * steps
    named = draft.names.neuron.get(head.path) if head else None  # its neurons are the read-out
    draft.emit("readout", named or draft.names.free("readout"), {}, {"bias": tensor(bias, np.int64)})
    facts = {"file": _printable(file.name), "semantics": draft.reading.semantics, "notices": draft.notices}
    return Graph(
        name=_printable(file.stem) or "network",
        stage=Stage.QUANTIZED,
        steps=steps,
        nodes=tuple(draft.nodes),
        output=draft.value,
        output_scale=1.0 if head else 1 / steps,
        metadata={
            "imported": json.dumps(facts),
            "read_out": "the membrane of the last layer" if head else "spikes of the last layer, counted over T",
        },
    )


def _printable(text: str) -> str:
    """A file's name as text: what is no UTF-8, or moves the cursor, as U+FFFD."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _input(draft: _Draft, layer: Layer) -> None:
    """The code of what comes in, and the neurons of an input layer that has some."""
    reading, neuron = draft.reading, layer.neuron if layer.kind == "input" else None
    said = layer.shape if layer.kind == "input" else ()
    if layer.kind == "dense" and layer.weight is not None:
        said = (layer.weight.shape[1],)
    given = tuple(reading.input_shape or said)
    shape = said or given
    if given not in (shape, (*shape, 1, 1)):  # SLAYER takes features as channels of one pixel, too
        need, have = f"the shape {list(said)}, as this layer says", f"input_shape {given}"
        raise UsageError(Finding(USAGE, layer.path, need, have, "correct input_shape (--input-shape), or leave it out"))
    if not shape:
        mend = "give input_shape, as (2, 34, 34); on the command line --input-shape 2x34x34"
        need, have = "the shape of what comes in, which the file has no input layer for", f"{layer.kind} at first"
        raise UsageError(Finding(USAGE, layer.path, need, have, mend))
    gain = float(INPUT_GAIN if layer.weight is None else layer.weight.flat[0]) if neuron else 1.0
    if gain <= 0:
        raise Refused(UNSUPPORTED, "a positive weight of the input", f"{gain:g}", "turn the sign of the images")
    code = reading.coded(gain, neuron is not None)
    draft.shape, draft.span = shape, code.interval
    own: dict[str, Attribute] = {"shape": shape, "step": code.step, "lo": draft.span.lo, "hi": draft.span.hi}
    draft.emit(EVENTS if code.events else "encode", draft.names.free("input"), own, path=layer.path if neuron else "")


def _layer(draft: _Draft, layer: Layer) -> None:
    if layer.kind == "flatten":
        _flatten(draft, layer.path)
    elif layer.kind == "input":
        if len(draft.nodes) > 1:
            raise Refused(DAMAGED, "an input as the first layer", "one behind others", AGAIN)
        if layer.neuron is not None:  # netx writes the image into the bias, which no current remembers
            _neurons(draft, replace(layer, neuron=replace(layer.neuron, current_decay=NO_MEMORY)), 0)
    else:
        _neurons(draft, layer, _synapses(draft, layer).exponent)
        if draft.reading.semantics == "slayer" or layer.kind == "pool":
            _delay(draft, layer, layer.delay)


def _flatten(draft: _Draft, path: str) -> None:
    """Channels, rows, columns: netx transposes its [W, H, C] to that order."""
    if len(draft.shape) > 1:
        draft.shape = (prod(draft.shape),)
        name = draft.names.free(f"flatten.{len(draft.nodes)}")
        draft.emit("reshape", name, {"shape": draft.shape}, path=path)


def _synapses(draft: _Draft, layer: Layer) -> Synapses:
    before, after = _netx_delays(draft, layer)
    _delay(draft, layer, before)
    weight = layer.weight
    if weight is None or draft.reading.semantics == "netx":
        weight, notice = executed(layer)
        draft.notices += [notice] if notice else []
    found = convolution(layer, weight, draft.shape)
    draft.weights += found.weight.size
    if draft.weights > MAX_WEIGHTS:
        have = f"{draft.weights:,} up to here, with the zeros of dilation or padding"
        raise Refused(DAMAGED, f"at most {MAX_WEIGHTS:,} weights in all", have, AGAIN)
    draft.emit("conv", draft.names.of(layer)[0], found.attributes, {"weight": found.weight}, layer.path)
    draft.shape, draft.span = layer.shape, conv_sums(found.weight, draft.span.union(Interval(0, 0)))
    _delay(draft, layer, after)
    return found


def _neurons(draft: _Draft, layer: Layer, exponent: int) -> None:
    neuron, bias = layer.neuron, _bias(layer, len(draft.shape))
    if neuron is None:
        raise Refused(UNSUPPORTED, "a CUBA neuron", "none", AGAIN)
    _require_decays(neuron)
    own = {
        "vth": neuron.threshold,
        "dv": neuron.voltage_decay,
        "weight_exp": exponent,
        "bias_exp": BIAS_EXP if bias.any() else 0,
        **({"du": neuron.current_decay} if neuron.current_decay < NO_MEMORY else {}),
    }
    draft.emit("lif", draft.names.of(layer)[1], own, {"bias_mant": bias}, layer.path)
    draft.span = BINARY


def _bias(layer: Layer, rank: int) -> Tensor:
    bias = np.zeros(1, np.int64) if layer.bias is None else layer.bias
    whole = bias.ndim == 3  # [W, H, C]
    bias = bias.transpose(2, 1, 0) if whole else bias.reshape(-1, *[1] * (rank - 1))
    return tensor(bias, np.int16 if np.abs(bias).max() < 1 << 15 else np.int64)


def _require_decays(neuron: Neuron) -> None:
    current, voltage = neuron.current_decay, neuron.voltage_decay
    if current < 1:
        raise Refused(UNSUPPORTED, "a current that decays: iDecay in 1..4096", current, "train with current_decay > 0")
    if voltage >= LOIHI_LAVA.decay_unit:
        raise Refused(
            UNSUPPORTED, "a membrane that keeps something: vDecay < 4096", voltage, "train with voltage_decay < 1"
        )


def _netx_delays(draft: _Draft, layer: Layer) -> tuple[Int64 | None, Int64 | None]:
    """The delays of a layer in front of its weights, and behind them, as netx has them (hdf5.py, create_dense).

    A dense layer's delays are of its own sums where there is one for each; SLAYER's are of its spikes.
    """
    delay = layer.delay
    if delay is None or draft.reading.semantics == "slayer" or layer.kind == "pool":
        return None, None
    if layer.kind == "conv":
        most = int(delay.max())
        draft.notices.append(
            f"{layer.path}: netx leaves out the delays of a convolution, up to {most}; so does this network"
        )
        return None, None
    if delay.max() > DELAY_MAX:
        draft.notices.append(f"{layer.path}: netx takes delays beyond {DELAY_MAX} as {DELAY_MAX}; so does this network")
    kept = np.minimum(delay, DELAY_MAX)
    if kept.size in (1, layer.shape[0]):
        return None, kept
    if kept.shape != draft.shape:
        need = f"a delay for each of {layer.shape[0]} sums or {draft.shape[0]} inputs"
        raise Refused(DAMAGED, need, f"{kept.size}", AGAIN)
    return kept, None


def _delay(draft: _Draft, layer: Layer, delay: Int64 | None) -> None:
    """Hold back the last value, by a number of steps a channel."""
    if delay is None:
        return
    if delay.size not in (1, draft.shape[0]) or delay.max() > DELAY_MAX:
        have = f"{delay.size} delays up to {delay.max()}"
        raise Refused(DAMAGED, f"one delay or {draft.shape[0]}, {DELAY_MAX} steps at most", have, AGAIN)
    steps = tensor(delay.reshape(-1, *[1] * (len(draft.shape) - 1)), np.int16)
    name = f"{draft.names.of(layer)[0]}.delay" if draft.nodes[-1].op != "lif" else f"{draft.value}.delay"
    draft.emit("delay", draft.names.free(name), {}, {"delay": steps}, layer.path)
    draft.span = draft.span.union(Interval(0, 0))


def _head(draft: _Draft, layer: Layer) -> None:
    """The synapses of a layer whose membrane is read, if it cannot fire."""
    found = _synapses(draft, layer)
    if found.exponent:
        raise Refused(
            NUMBERS, "weights in -128..127 of a layer that is read", f"those times {1 << found.exponent}", SMALLER
        )
    steps, bias = draft.reading.steps, layer.bias if layer.bias is not None else np.zeros(1, np.int64)
    reach = (draft.span + Interval(int(bias.min()), int(bias.max()))).scaled(steps)
    if reach.magnitude > LOIHI_LAVA.threshold_max:
        need = f"a membrane of {LOIHI_LAVA.threshold_max} at most in {steps} steps, which never fires"
        raise Refused(NUMBERS, need, f"worst case {reach}", SMALLER)
