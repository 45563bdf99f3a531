"""Execute a quantized graph: T steps, every node in order, int64."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.reference.ops import STATELESS, Evaluate, encode
from neurodeploy.backends.result import Probes, RunResult, require_room, select_probes
from neurodeploy.images import Images, check_images, slices
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.infer import decay_of_current
from neurodeploy.ir.proof import remembers
from neurodeploy.ir.verify import types
from neurodeploy.numerics import PROFILES, Int64, Profile, cuba_step, lif_step
from neurodeploy.progress import Progress

Watch = Callable[[str, Int64], None]
LARGEST_BATCH = 16
MEMORY = 1 << 30  # bytes that the values of one slice may take
LIVE = 10  # values of the largest layer that live at once, those on the way through a LIF counted


def run(
    graph: Graph,
    images: object,
    probes: Probes = "none",
    batch: int | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> RunResult:
    """Run images float32 [N, C, H, W], or event frames [N, T, C, H, W], through a quantized graph.

    probes: the LIFs whose spikes and membranes are kept.  batch: samples at a time; by default as many as MEMORY
    holds, at least one.  progress(done, total) is called after each slice.
    watch(name, value): sees every value int64 [n, *shape] of every slice and step.
    Raises UsageError for bad images or probes, LimitExceededError for probes beyond this machine's memory.
    """
    return execute(graph, images, probes, batch, progress, watch, STATELESS)


def execute(
    graph: Graph,
    images: object,
    probes: Probes,
    batch: int | None,
    progress: Progress | None,
    watch: Watch | None,
    ops: Mapping[str, Evaluate],
) -> RunResult:
    """`run`, with what computes each op that keeps no state."""
    checked = check_images(images, graph.image_shape)
    names = select_probes(probes, [node.name for node in graph.of("lif")])
    require_room(sum(types(graph)[name].size for name in names), graph.steps, len(checked))
    record = _Record(graph, names, len(checked))
    logits = np.zeros((len(checked), *types(graph)[graph.output].shape), np.int64)
    start = time.perf_counter()
    for part, chunk in slices(checked, batch_size(graph) if batch is None else batch):
        logits[part] = _run_slice(graph, chunk, record, part, watch, ops)
        if progress:
            progress(part.stop, len(checked))
    seconds = time.perf_counter() - start
    return RunResult("reference", logits, graph.output_scale, record.spikes, record.membrane, seconds)


def batch_size(graph: Graph) -> int:
    """Samples a slice, so that its memory is bounded whatever the network: all membranes, and the largest values."""
    known = types(graph)
    held = sum(known[node.name].size * (1 + remembers(node)) for node in graph.of("lif"))
    held += sum(known[node.name].size * graph.steps for node in graph.of("delay"))
    largest = max(value.size for value in known.values())
    return max(1, min(LARGEST_BATCH, MEMORY // (8 * (held + LIVE * largest))))


def _spent(graph: Graph) -> dict[str, list[str]]:
    """Node -> the values that it is the last to read."""
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    spent: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for name, reader in last.items():
        spent[reader].append(name)
    return spent


class _Record:
    """Spikes and membranes of the probed LIFs."""

    def __init__(self, graph: Graph, names: tuple[str, ...], count: int) -> None:
        shapes = {name: (count, graph.steps, *types(graph)[name].shape) for name in names}
        self.spikes: dict[str, NDArray[np.uint8]] = {n: np.zeros(s, np.uint8) for n, s in shapes.items()}
        self.membrane: dict[str, NDArray[np.int32]] = {n: np.zeros(s, np.int32) for n, s in shapes.items()}

    def keep(self, name: str, part: slice, step: int, spikes: Int64, membrane: Int64) -> None:
        """Keep one step of one LIF, if it is probed."""
        if name in self.spikes:
            self.spikes[name][part, step] = spikes
            self.membrane[name][part, step] = membrane


def _run_slice(
    graph: Graph, images: Images, record: _Record, part: slice, watch: Watch | None, ops: Mapping[str, Evaluate]
) -> Int64:
    membrane: dict[str, Int64] = {}
    current: dict[str, Int64] = {}
    past: dict[str, list[Int64]] = {}
    logits = graph.by_name[graph.output].tensors["bias"].astype(np.int64)
    profile, spent = PROFILES[graph.profile], _spent(graph)
    for step in range(graph.steps):
        values: dict[str, Int64] = {}
        for node in graph.nodes:
            inputs = [values[name] for name in node.inputs]
            if node.op == "encode":
                values[node.name] = encode(node, images)
            elif node.op == "encode_events":
                values[node.name] = encode(node, images[:, step])
            elif node.op == "lif":
                values[node.name] = _lif(node, inputs[0], membrane, current, profile)
                record.keep(node.name, part, step, values[node.name], membrane[node.name])
            elif node.op == "delay":
                values[node.name] = _delayed(node, past.setdefault(node.name, []), inputs[0])
            elif node.op == "readout":
                logits = logits + inputs[0]
            else:
                values[node.name] = ops[node.op](node, *inputs)
            if watch and node.name in values:
                watch(node.name, values[node.name])
            for name in spent[node.name]:
                del values[name]
    return logits


def _delayed(node: Node, past: list[Int64], x: Int64) -> Int64:
    """What came in so many steps before; past: the inputs of this sample until now, to which this one is added."""
    past.append(x)
    delay, late = node.tensors["delay"], np.zeros_like(x)
    for steps in range(min(int(delay.max()) + 1, len(past))):
        late = np.where(delay == steps, past[-1 - steps], late)
    return late


def _lif(node: Node, x: Int64, membrane: dict[str, Int64], current: dict[str, Int64], profile: Profile) -> Int64:
    """The spikes; membrane, current: of each layer, from step to step."""
    bias = node.tensors["bias_mant"].astype(np.int64) << node.integer("bias_exp")
    before = membrane.get(node.name, np.zeros_like(x))
    activation = x << node.integer("weight_exp")
    vth, dv = node.thresholds, node.integer("dv")
    if not remembers(node):
        spikes, membrane[node.name] = lif_step(activation, before, bias, vth, dv, profile)
        return spikes
    state, decays = (current.get(node.name, np.zeros_like(x)), before), (decay_of_current(node), dv)
    spikes, (current[node.name], membrane[node.name]) = cuba_step(activation, state, bias, vth, decays, profile)
    return spikes
