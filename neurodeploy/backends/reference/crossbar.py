"""Execute a quantized graph with its synapses on crossbars that ADCs read, clipping included.

Convolutions, linear layers and sums over axes (masks of Q-K attention, the mean over tokens) are synapses that stay:
they are cells. Products of activations (SSA) are none and stay digital, as do neurons, pools, residuals and gates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from neurodeploy.backends.options import check_options
from neurodeploy.backends.reference.backend import Watch, execute
from neurodeploy.backends.reference.crossbar_cells import Crossbar, Inputs
from neurodeploy.backends.reference.crossbar_design import Rows, designed
from neurodeploy.backends.reference.crossbar_reads import Layer, conv, planned, reduce_sum
from neurodeploy.backends.reference.ops import STATELESS, Evaluate
from neurodeploy.backends.result import Probes, RunResult
from neurodeploy.errors import Finding, UsageError
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.types import Interval
from neurodeploy.ir.verify import types
from neurodeploy.numerics import Int64
from neurodeploy.progress import Progress
from neurodeploy.targets import Target, load_target

TARGET = "crossbar-128-adc5"
MOST_REPEATS = 1 << 12
SYNAPSES: dict[str, Evaluate] = {"conv": conv, "reduce_sum": reduce_sum}


@dataclass(frozen=True)
class CrossbarResult(RunResult):
    """A run, and what its crossbars did. layers: in graph order."""

    crossbar: Crossbar | None = None
    layers: tuple[Layer, ...] = ()


def run(  # noqa: PLR0913  (options of a run: each by its name)
    graph: Graph,
    images: object,
    probes: Probes = "none",
    *,
    batch: int | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
    target: str = TARGET,
    adc_bits: int | None = None,
    active_rows: Rows = "safe",
    inputs: Inputs = "bits",
) -> CrossbarResult:
    """Run images as `reference` does, with every synapse layer read through ADCs.

    target: a crossbar target by name, or the path of a TOML file.  adc_bits: in place of the target's.
    active_rows: rows of a tile that one read drives: "safe", the most that can never clip; "all"; or a number.
    With safe reads every integer is that of `reference`.
    Raises UsageError for what is no crossbar with an ADC, and as `reference.run` does.
    """
    crossbar = designed(load_target(target), adc_bits, active_rows, inputs)
    return execute_on(crossbar, graph, images, probes, batch, progress, watch)


def execute_on(
    crossbar: Crossbar,
    graph: Graph,
    images: object,
    probes: Probes = "none",
    batch: int | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> CrossbarResult:
    """`run` on a crossbar of one's own. Raises UsageError for numbers that are too large to repeat."""
    known = types(graph)
    nodes = [node for node in graph.nodes if node.op in SYNAPSES]
    if findings := [finding for node in nodes for finding in _too_many(node, known[node.inputs[0]].range, crossbar)]:
        raise UsageError(findings)
    layers = {node.name: planned(node, known[node.inputs[0]], known[node.name], crossbar) for node in nodes}
    spans = {name: value.range for name, value in known.items()}
    read = {op: partial(_read, one, crossbar, layers, spans) for op, one in SYNAPSES.items()}
    result = execute(graph, images, probes, batch, progress, watch, {**STATELESS, **read})
    held = {name: getattr(result, name) for name in RunResult.__dataclass_fields__}
    return CrossbarResult(**held | {"backend": "crossbar"}, crossbar=crossbar, layers=tuple(layers.values()))


def _too_many(node: Node, span: Interval, crossbar: Crossbar) -> Iterator[Finding]:
    """A layer whose numbers would take more reads than anybody waits for."""
    if crossbar.inputs == "repeats" and span.hi - span.lo > MOST_REPEATS:
        need, mend = f"numbers of at most {MOST_REPEATS:,} reads", 'choose inputs "bits"'
        yield Finding("ND-B066", node.name, need, f"numbers in {span}", mend, str(node.source))


def _read(
    one: Evaluate, crossbar: Crossbar, layers: Mapping[str, Layer], spans: Mapping[str, Interval], node: Node, x: Int64
) -> Int64:
    """A layer's sums, held within the interval that is proven for them: registers are as wide as that, not wider."""
    layer, span = layers[node.name], spans[node.name]
    sums = one(node, x, spans[node.inputs[0]], crossbar, layer)
    layer.steps += len(x)
    layer.saturated += int(np.count_nonzero((sums < span.lo) | (sums > span.hi)))
    return np.clip(sums, span.lo, span.hi)


def designs(
    target: Target, adc_bits: Sequence[int], active_rows: Sequence[int | str], inputs: str
) -> list[tuple[int | str, Crossbar]]:
    """The crossbar of each adc_bits (none: the target's own) times active_rows, with the active_rows asked for.

    Raises UsageError, all findings at once, for settings that cannot be.
    """
    grid = product(tuple(adc_bits) or (None,), active_rows)
    tried = [(rows, *_tried(target, bits, rows, inputs)) for bits, rows in grid]
    findings = dict.fromkeys(finding for _, _, refused in tried for finding in refused)
    if findings or not tried:
        raise UsageError(findings or Finding("ND-B065", "active_rows", "at least one setting", "none", "name one"))
    return [(rows, crossbar) for rows, crossbar, _ in tried if crossbar is not None]


def _tried(
    target: Target, adc_bits: int | None, active_rows: int | str, inputs: str
) -> tuple[Crossbar | None, tuple[Finding, ...]]:
    """One crossbar, or what is wrong with it."""
    asked = {"adc_bits": adc_bits, "active_rows": active_rows, "inputs": inputs}
    try:
        return designed(target, **check_options(run, asked, {})), ()
    except UsageError as error:
        return None, error.findings
