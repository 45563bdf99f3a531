"""The op table: one frozen declaration an op. Verifier, printer, artefact and tests follow from it.

Values are per time step, without time or batch axis. Equations of the quantized ops are those of the profile in
`neurodeploy.numerics`; widths are proven by `neurodeploy.ir.proof`.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurodeploy.ir import infer
from neurodeploy.ir.graph import Stage

TRACED = frozenset({Stage.TRACED})
QUANTIZED = frozenset({Stage.QUANTIZED})
BOTH = TRACED | QUANTIZED


@dataclass(frozen=True)
class Op:
    """Declaration of an op.

    inputs: names of the ports.  attributes: name -> "int", "float" or "ints".  tensors: names.  A "?" at the end of a
    name of an attribute or a tensor says that it is optional.
    state: what it keeps from step to step.  stages: where it is legal.  types: shape inference and interval transfer.
    doc: equation, units, source.
    """

    name: str
    inputs: tuple[str, ...]
    attributes: dict[str, str]
    tensors: tuple[str, ...]
    stages: frozenset[Stage]
    types: infer.Infer
    doc: str
    state: tuple[str, ...] = ()

    @property
    def required_attributes(self) -> frozenset[str]:
        """Attributes that every node of the op has."""
        return frozenset(name for name in self.attributes if not name.endswith("?"))

    @property
    def kinds(self) -> dict[str, str]:
        """Attribute that a node of the op may have -> "int", "float" or "ints"."""
        return {name.rstrip("?"): kind for name, kind in self.attributes.items()}

    @property
    def required_tensors(self) -> frozenset[str]:
        """Tensors that every node of the op has."""
        return frozenset(name for name in self.tensors if not name.endswith("?"))

    @property
    def allowed_tensors(self) -> frozenset[str]:
        """Tensors that a node of the op may have."""
        return frozenset(name.rstrip("?") for name in self.tensors)


WINDOW = {"stride": "ints", "padding": "ints"}
NEURON = {"decay": "float", "threshold": "float", "decay_input": "int"}
LIF = {"vth": "int", "dv": "int", "du?": "int", "weight_exp": "int", "bias_exp": "int"}
ENCODE = {"shape": "ints", "step": "float", "lo": "int", "hi": "int"}
SLICE = {"axis": "int", "start": "int", "stop": "int"}
REDUCE = {"axes": "ints", "keepdims": "int"}

_TABLE = (
    Op("input", (), {"shape": "ints"}, (), TRACED, infer.source_type, "The image, the same in each step."),
    Op("events", (), {"shape": "ints"}, (), TRACED, infer.source_type, "The event frame of the step."),
    Op(
        "encode", (), ENCODE, (), QUANTIZED, infer.encode_type,
        "y = clip(rint(x / step), lo, hi), rint to even, x and step float32; the same image in each of the T steps.",
    ),
    Op(
        "encode_events", (), ENCODE, (), QUANTIZED, infer.encode_type,
        "y = clip(rint(x / step), lo, hi) of the frame of the step; a sample is event frames [T, *shape].",
    ),
    Op(
        "conv", ("x",), {**WINDOW, "groups": "int"}, ("weight", "bias?"), BOTH, infer.conv_type,
        "y[o] = sum w[o, i, k] x[i, s p + k - pad] (+ bias[o], traced); zeros in the padding; PyTorch's orientation."
        " Linear layers are the case of no spatial axis, or of kernel 1 over tokens. Quantized: int8 weights.",
    ),
    Op(
        "batchnorm", ("x",), {}, ("scale", "shift"), TRACED, infer.channelwise_type,
        "y[c] = scale[c] x[c] + shift[c], scale = gamma / sqrt(var + eps), shift = beta - mean scale (eval mode).",
    ),
    Op(
        "neuron", ("x",), NEURON, (), TRACED, infer.neuron_type,
        "v' = (1 - decay) v + (decay if decay_input else 1) x; s = v' >= threshold; v = 0 where s. v counts from the"
        " reset potential, and so does threshold. Source: SpikingJelly activation_based.neuron (hard reset).",
        state=("v",),
    ),
    Op(
        "lif", ("x",), LIF, ("bias_mant", "thresholds?"), QUANTIZED, infer.lif_type,
        "a = x 2^weight_exp; v' = trunc0(v (4096 - dv) / 4096) + a 2^6 + bias_mant 2^bias_exp; s = v' > vth 2^6;"
        " v = 0 where s; v starts at 0 in each sample. With du, 1..4096, u in place of a 2^6:"
        " u = trunc0(u (4096 - du) / 4096) + a 2^6, 0 at first, no matter who fires. `thresholds`, where there are any,"
        " hold the vth of each neuron, two to four different ones, the largest of them in vth. Profile loihi-lava.",
        state=("v",),
    ),
    Op(
        "delay", ("x",), {}, ("delay",), QUANTIZED, infer.delay_type,
        "y at step t is x at step t - delay, 0 before the first step; nothing goes on to the next sample. Axonal delays"
        " of SLAYER, one a channel: delay broadcasts to x.",
    ),
    Op(
        "max_pool", ("x",), {"kernel": "ints", **WINDOW}, (), BOTH, infer.max_pool_type,
        "The largest of each window; the padding does not count.",
    ),
    Op("add", ("a", "b"), {}, (), BOTH, infer.add_type, "y = a + b: the residual, which makes counts of spikes."),
    Op("mul", ("a", "b"), {}, (), TRACED, infer.mul_type, "y = a b with broadcast: a mask on spikes."),
    Op(
        "gate", ("mask", "spikes"), {}, (), QUANTIZED, infer.gate_type,
        "y = mask AND spikes; Q-K attention (QKFormer, section 3.2), the mask broadcast over channels or tokens.",
    ),
    Op("complement", ("x",), {}, (), TRACED, infer.complement_type, "y = 1 - x: where no spike is."),
    Op(
        "inhibit", ("mask", "spikes"), {}, (), QUANTIZED, infer.gate_type,
        "y = spikes AND NOT mask: the IAND residual (Fang et al. 2021, Deep Residual Learning in SNNs, table 1).",
    ),
    Op("scale", ("x",), {"factor": "float"}, (), TRACED, infer.same_type, "y = factor x, as in SSA (factor 0.125)."),
    Op("matmul", ("a", "b"), {}, (), TRACED, infer.matmul_type, "y = a b, a matrix product a head."),
    Op(
        "spike_matmul", ("a", "b"), {}, (), QUANTIZED, infer.matmul_type,
        "y = a b on spikes and counts: Q K^T, K^T V and what follows (Spikformer, section 3.3).",
    ),
    Op("reduce_sum", ("x",), REDUCE, (), BOTH, infer.reduce_type, "y = sum of x over axes."),
    Op("reduce_mean", ("x",), REDUCE, (), TRACED, infer.reduce_type, "y = mean of x over axes (tokens)."),
    Op("reshape", ("x",), {"shape": "ints"}, (), BOTH, infer.reshape_type, "The same elements in C order."),
    Op("slice", ("x",), SLICE, (), BOTH, infer.slice_type, "y = x[start:stop] along axis, as q of a fused q, k, v."),
    Op("permute", ("x",), {"axes": "ints"}, (), BOTH, infer.permute_type, "y axis i is x axis axes[i]."),
    Op("time_mean", ("x",), {}, (), TRACED, infer.same_type, "y = mean of x over the T steps: the read-out."),
    Op(
        "readout", ("x",), {}, ("bias",), QUANTIZED, infer.readout_type,
        "logits[c] = bias[c] + sum over T of x[c], int64; float logit = logits * the graph's output_scale.",
    ),
)  # fmt: skip

OPS = {op.name: op for op in _TABLE}
