"""Post-training quantization: a folded traced graph becomes integers for which the interval proof holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DoesNotFitError, Finding, UnsupportedModelError, UsageError
from neurodeploy.images import check_images, spread
from neurodeploy.ir.graph import Graph, Node, Stage, topological
from neurodeploy.ir.passes import remove_dead, run_passes, simplify_views
from neurodeploy.ir.proof import require_proof
from neurodeploy.ir.types import BINARY, ValueType
from neurodeploy.ir.verify import types
from neurodeploy.quantize.builder import Builder, Latents, Quantity, Refused
from neurodeploy.quantize.converter import axon_of
from neurodeploy.quantize.currents import TOO_TIGHT
from neurodeploy.quantize.ends import with_ends
from neurodeploy.quantize.fold import fold_batchnorm
from neurodeploy.quantize.handlers import HANDLERS
from neurodeploy.quantize.measure import measure
from neurodeploy.quantize.options import QuantizeOptions
from neurodeploy.quantize.samples import Samples, sample_count
from neurodeploy.quantize.sensitivity import Loss, auto_bits, sensitivity
from neurodeploy.quantize.streams import Stream, find_streams, stray_currents
from neurodeploy.quantize.units import choose_unit

Say = Callable[[str], None]


def quantize(
    traced: Graph, calibration: object, options: QuantizeOptions | None = None, say: Say | None = None
) -> Graph:
    """The integer network of a traced graph; see `quantize_exactly`."""
    return quantize_exactly(traced, calibration, options, say)[0]


def quantize_exactly(
    traced: Graph, calibration: object, options: QuantizeOptions | None = None, say: Say | None = None
) -> tuple[Graph, Latents]:
    """The integer network of a traced graph, and what its integers are rounded from.

    Latents, float64, by node: of a conv its weight in weight units; of a lif that reads a current its bias in membrane
    units; of the readout its bias in units of the integer logits. Shapes as of the integers, a bias may broadcast.

    calibration: float32 images [N, C, H, W], or event frames [N, T, C, H, W]; they choose the pixel code, the first
    layer's widths, and what the options leave to data.  say(stage) is called as long work begins.
    Raises UsageError for bad images or options, UnsupportedModelError with every node that cannot be quantized,
    DoesNotFitError where the interval proof fails, or where "auto" finds no bits.
    """
    folded, images, options = _prepared(traced, calibration, options)
    facts = dict[str, str]()
    if options.weight_bits == "auto":
        options = options.decided(few=True)
        found = auto_bits(folded, images, options, _unmeasured, say)
        options, facts = options.with_bits(found.bits), {"auto": json.dumps(found.facts)}
    build = _built(folded, images, with_ends(folded, options), say)
    (say or (lambda stage: None))("measure the errors of the layers")
    measure(build)
    graph = _finished(traced, build)
    graph = replace(graph, metadata={**graph.metadata, **facts})
    return graph, {n: v for n, v in build.exact.items() if n in graph.by_name}


def layer_losses(
    traced: Graph, calibration: object, options: QuantizeOptions | None = None, say: Say | None = None
) -> list[Loss]:
    """What each layer loses at 8, 6, 4, 3 and 2 bits, all others at 8. Raises as `quantize_exactly`."""
    folded, images, options = _prepared(traced, calibration, options)
    return sensitivity(folded, images, options, _unmeasured, say)


def _prepared(
    traced: Graph, calibration: object, options: QuantizeOptions | None
) -> tuple[Graph, NDArray[np.float32], QuantizeOptions]:
    """The folded graph, and the calibration and options checked against it."""
    options = options or QuantizeOptions()
    folded = run_passes(traced, (fold_batchnorm, simplify_views, remove_dead))
    (source,) = (*folded.of("input"), *folded.of("events"))
    options.check_patterns(node.name for node in folded.of("conv"))
    return folded, _calibration(calibration, _sample_shape(folded, source)), options


def _unmeasured(folded: Graph, images: NDArray[np.float32], options: QuantizeOptions) -> Graph:
    return _finished(folded, _built(folded, images, options))


def _built(folded: Graph, images: NDArray[np.float32], options: QuantizeOptions, say: Say | None = None) -> Builder:
    """The builder once every node is quantized."""
    options = options.settled(node.name for node in folded.of("conv"))
    build = Builder(folded, options, images, streams=find_streams(folded))
    if options.needs_samples:
        build.say = say or build.say
        build.samples = Samples(build, spread(images, sample_count(folded, len(images))))
    _walk(build)
    build.samples = None
    return build


def _finished(traced: Graph, build: Builder) -> Graph:
    """The quantized graph, proven."""
    folded = build.traced
    metadata = {**traced.metadata, "quantization": json.dumps(build.choices, sort_keys=True)}
    made = [node.name for node in build.nodes if node.name not in folded.by_name]
    metadata |= {"made": json.dumps(made)} if made else {}
    quantized = replace(
        folded,
        stage=Stage.QUANTIZED,
        nodes=topological(build.nodes),
        profile=build.options.profile.name,
        output_scale=build.output_scale,
        metadata=metadata,
    )
    quantized = run_passes(quantized, (simplify_views, remove_dead))
    require_proof(quantized)
    return quantized


def _sample_shape(graph: Graph, source: Node) -> tuple[int, ...]:
    """The shape of one sample: an image, or T event frames."""
    frame = source.integers("shape")
    return (graph.steps, *frame) if source.op == "events" else frame


def _calibration(images: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The images, checked. Raises UsageError, also where every value is zero: they have no range to code."""
    checked = check_images(images, shape)
    if not checked.any():
        need, mend = "calibration data as the model will see it", "pass some tens of real samples"
        raise UsageError(Finding("ND-Q004", "calibration", need, "every value is zero", mend))
    return checked


def _walk(build: Builder) -> None:
    """Quantize every node once what it reads is known, and a convolution of a stream once all that flows in is.

    What follows from a finding is left out.
    """
    findings = list(stray_currents(build.traced, build.streams))
    if findings:
        raise UnsupportedModelError(findings)
    waiting, open_streams = list(build.traced.nodes), _shared(build)
    before = -1
    while waiting and (build.patient or before != len(waiting) + len(open_streams)):
        build.patient = before != len(waiting) + len(open_streams)
        before = len(waiting) + len(open_streams)
        open_streams = [stream for stream in open_streams if not _settled(build, stream, findings)]
        waiting = [node for node in waiting if not _handled(build, node, findings)]
    findings = findings or [_circular(node) for node in waiting if node.op == "conv"]
    if findings:
        tight = all(finding.code == TOO_TIGHT for finding in findings)
        raise DoesNotFitError(findings) if tight else UnsupportedModelError(findings)


def _circular(conv: Node) -> Finding:
    """A convolution that waits for a current to which its own is added."""
    need, have = "a current that its own is not added to", "a current that waits for this layer"
    return Finding("ND-Q012", conv.name, need, have, "put a spiking neuron in front of it", str(conv.source))


def _shared(build: Builder) -> list[Stream]:
    """The streams whose convolutions share a unit, in the order of the graph."""
    unique = {id(stream): stream for stream in build.streams.values() if not stream.plain}
    return list(unique.values())


def _settled(build: Builder, stream: Stream, findings: list[Finding]) -> bool:
    """Choose the unit of a stream if all that flows into it is known; False where it has to wait."""
    if any(name not in build.values for name in stream.sources):
        return False
    refused = [finding for conv in stream.convs for finding in _unreadable(build, conv)]
    findings.extend(refused)
    try:
        build.shares |= {} if refused else choose_unit(build, stream, _quantize)
    except DoesNotFitError as error:
        findings.extend(error.findings)
    return True


def _unreadable(build: Builder, conv: Node) -> Iterator[Finding]:
    """Why a convolution cannot read its current; it has to, before a unit can be chosen for what it makes of that."""
    try:
        axon_of(build, conv)
    except Refused as refusal:
        yield refusal.finding(conv)


def _handled(build: Builder, node: Node, findings: list[Finding]) -> bool:
    """Quantize a node if what it needs is known; False where it has to wait. A neuron that waits still makes spikes."""
    settled = node.op != "conv" or build.streams[node.name].plain or node.name in build.shares
    settled = settled and not (node.op == "conv" and _unseen(build, node))
    if not settled or any(name not in build.values for name in node.inputs):
        if node.op == "neuron":
            build.types[node.name] = ValueType(types(build.traced)[node.name].shape, BINARY)
            build.values[node.name] = Quantity(node.name, 1.0)
        return False
    try:
        _quantize(build, node)
    except Refused as refusal:
        findings.append(refusal.finding(node))
    if build.samples:
        build.samples.handled(node)
    return True


def _unseen(build: Builder, conv: Node) -> bool:
    """Whether a convolution waits for the integers that it reads: not where a unit has to be chosen without them."""
    if build.samples is None or not build.patient:
        return False
    name = build.values[conv.inputs[0]].name if conv.inputs[0] in build.values else ""
    return name not in build.samples.integers


def _quantize(build: Builder, node: Node) -> None:
    HANDLERS[node.op](build, node)
