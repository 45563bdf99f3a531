"""The public face: compile, load, run, compare, evaluate. The only module that knows all stages.

torch, onnxruntime and lava are imported where they are used, so that `import neurodeploy` stays light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodeploy.backends.dispatch import chosen_backend, require_known, run_on, unknown_backend
from neurodeploy.backends.result import Probes, RunResult, slice_size
from neurodeploy.compiling import Asked, Stages, compiled, frontend
from neurodeploy.errors import DoesNotFitError, Finding, UnsupportedModelError, UsageError
from neurodeploy.evaluation import (
    ActivityMeter,
    Comparison,
    CrossbarEvaluation,
    Evaluation,
    FiringRates,
    Operations,
    accuracy,
    check_labels,
    compare_on,
    count_operations,
    crossbar_setting,
    evaluate_logits,
    measured_values,
)
from neurodeploy.images import Images, check_images, slices
from neurodeploy.ir import artefact
from neurodeploy.ir.graph import Graph, live_nodes
from neurodeploy.ir.mapped import AttentionOrder, MappedGraph, NeuronChoice, Residual
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.proof import Bound, require_proof
from neurodeploy.ir.verify import types
from neurodeploy.numerics import PROFILES
from neurodeploy.progress import Progress, share
from neurodeploy.quantize.options import WeightBits
from neurodeploy.report import describe
from neurodeploy.targets import load_target

if TYPE_CHECKING:
    from neurodeploy.mapping.bill import Bill

FilePath = str | PathLike[str]
COMPARED = ("reference", "native", "onnx", "lava")
RATE_SAMPLES = 256  # samples over which firing rates are taken


@dataclass(frozen=True)
class CompiledModel:
    """An integer network for which the interval proof holds."""

    graph: Graph

    @cached_property
    def bounds(self) -> tuple[Bound, ...]:
        """Every proven quantity beside its limit, in graph order. Raises DoesNotFitError where a proof fails."""
        return require_proof(self.graph)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample: [C, H, W] of an image, [T, C, H, W] of event frames."""
        return self.graph.image_shape

    @property
    def pixel_range(self) -> tuple[float, float]:
        """The smallest and the largest value that the code of the input can hold; what lies beyond is clipped."""
        return PixelCode.of_graph(self.graph).range

    def clipped_share(self, images: object) -> float:
        """The share of pixels beyond `pixel_range` by more than half a code; of event frames, of those with an event.

        Raises UsageError for bad images.
        """
        return PixelCode.of_graph(self.graph).clipped_share(check_images(images, self.input_shape))

    def __repr__(self) -> str:
        graph, size = self.graph, "x".join(map(str, self.input_shape))
        return f"CompiledModel({graph.name}: {size}, T={graph.steps}, {len(self.layers)} LIF layers)"

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the LIFs, which can be probed, in graph order."""
        return tuple(node.name for node in self.graph.of("lif"))

    def save(self, path: FilePath) -> None:
        """Write the artefact, one ONNX file, atomically. Raises UsageError where the path cannot be written."""
        artefact.save(self.graph, path)

    def run(self, images: object, backend: str = "auto", probes: Probes = "none", **options: Any) -> RunResult:
        """Run images [N, C, H, W], or event frames [N, T, C, H, W], as the model takes them.

        backend: reference, mapped (the lowered network, step by step in NumPy), crossbar (synapses read through ADCs),
        native, onnx or lava; auto is native, or onnx where the native backend was not built.
        probes: "all", "none", or names and patterns of LIFs.
        options: of the backend, e.g. progress, batch, threads (native, onnx), runtime and timeout (lava), target,
        adc_bits and active_rows (crossbar).
        Raises UsageError for bad images, probes or an unknown backend, EnvironmentMissingError where something has to
        be installed, LimitExceededError where a time limit is exceeded.
        """
        return run_on(chosen_backend(backend), self.graph, self._lowered, images, probes, options)

    def lower(self, attention: AttentionOrder = "auto", **choices: Any) -> MappedGraph:
        """The network as populations and crossbars; choices as of `mapping.lower`, which tells what it raises."""
        from neurodeploy.mapping import lower

        return lower(self.graph, attention, **choices)

    @cached_property
    def _mapped(self) -> MappedGraph:
        return self.lower()

    def _lowered(self, **choices: Any) -> MappedGraph:
        return self.lower(**choices) if {*choices.values()} - {"auto", "stock", "graded"} else self._mapped

    def export_lava(self, folder: FilePath, overwrite: bool = False, **choices: Any) -> Path:
        """Write a folder that runs with lava-nc and NumPy alone; whole or not at all. Raises UsageError, as `lower`."""
        from neurodeploy.backends.lava.emit import export

        return export(self._lowered(**choices), Path(folder), overwrite=overwrite)

    def operations(
        self, images: object = None, convention: str = "first", progress: Progress | None = None
    ) -> Operations:
        """MACs by layer, and with images the synaptic operations, the papers' theoretical energy and firing rates.

        convention: which layers count as MACs, see `neurodeploy.evaluation.operations`.
        Raises UsageError for bad images or an unknown convention.
        """
        if images is None:
            return count_operations(self.graph, convention=convention)
        meter = ActivityMeter(measured_values(self.graph))
        count_operations(self.graph, convention=convention)  # a wrong convention is refused before the long run
        run = self.run(images, "reference", batch=1, progress=progress, watch=meter.add)
        return count_operations(self.graph, meter.activities(), len(run.logits), convention)

    def map(
        self,
        target: FilePath | None = None,
        images: object = None,
        *,
        attention: AttentionOrder = "auto",
        neurons: NeuronChoice = "stock",
        residual: Residual = "graded",
        sanafe: FilePath | None = None,
        progress: Stages | None = None,
    ) -> Bill:
        """Cores, chips, latency, spikes and energy on a chip, or all that does not fit: `Bill.findings`.

        target: a name or the path of a TOML file, else the one it was compiled for.  images: to measure spikes on,
        some are enough; without, every neuron is taken to fire in every step.  neurons: Lava's own, or also the
        custom ones.  attention, residual: see docs/lowering.md.  sanafe: the sanafe.json of a run in SANA-FE, whose
        figures then stand beside ours (docs/sanafe.md).  progress(stage) is called as a stage begins.
        Raises UsageError for bad images, an unknown target or figures of another network, InvalidFileError for a wrong
        target file or sanafe.json.
        """
        from neurodeploy.mapping.prices import Choice
        from neurodeploy.maps import bill_of

        return bill_of(self, target, images, Choice(attention, neurons, residual), sanafe, progress)

    def report(self, images: object, labels: object = None, float_model: Any = None, **choices: Any) -> str:
        """One HTML page that needs nothing else: accuracy, network, cores, spikes, bounds, attention.

        choices: progress(done, total), and those of `neurodeploy.pages.Choices`.  Raises as `run`, `compare`, `map`.
        """
        from neurodeploy import pages

        return pages.made(self, compare, images, labels, float_model, **choices).html

    def describe(self, mapped: bool = True, **choices: Any) -> dict[str, Any]:
        """Layers, bounds, the quantizer's choices, neurons and synapses as plain data; `mapped`: lowered by `choices`.

        What was compiled for the CPU backends and fits no chip says so there, with every reason.
        """
        document = describe.graph_document(self.graph, self.bounds)
        if not mapped:
            return document
        try:
            return document | {"mapped": describe.mapped_document(self._lowered(**choices))}
        except (DoesNotFitError, UnsupportedModelError) as error:
            if PROFILES[self.graph.profile].chip:
                raise
            return document | {"mapped": describe.refused_document(error)}


def compile(  # noqa: PLR0913  (the public call: each argument by its name)
    model: Any,
    example_input: Any,
    target: FilePath = "loihi2",
    *,
    calibration: object,
    weight_bits: WeightBits = 8,
    name: str | None = None,
    steps: int | None = None,
    progress: Stages | None = None,
    **rounding: Any,
) -> CompiledModel:
    """Trace, quantize and prove a trained model; the model is left as it was.

    model: an `nn.Module` in eval mode.  example_input: an array or tensor [1, C, H, W] as the model takes it, or event
    frames [1, T, C, H, W] whose T is then the number of time steps.
    target: a name or the path of a TOML file.  calibration: images [N, C, H, W] or event frames [N, T, C, H, W] of the
    example's shape, some tens are enough.
    steps: T, for a model that makes no time steps itself: it takes [T, N, C, H, W], or one step at a time; an image is
    shown T times, and logits of each step are averaged over T.
    weight_bits: 2 to 8, a mapping of layer patterns to bits, or "auto" with `budget` (bytes of all weights) or
    `most_drop` (percent).  rounding: the other choices of `QuantizeOptions`: rounding, scale, bias_correction,
    first_bits, last_bits, threshold_groups.  progress(stage) is called as a stage begins.
    Raises UsageError (calibration, target, weight_bits, rounding), UnsupportedModelError with everything that cannot be
    deployed, DoesNotFitError where no scale keeps the target's widths, EnvironmentMissingError without torch.
    """
    asked = Asked(model, example_input, target, calibration, weight_bits, rounding, name, steps)
    return CompiledModel(compiled(asked, progress))


def load(path: FilePath) -> CompiledModel:
    """An artefact, verified and proven. Raises InvalidFileError for a missing, damaged or foreign file."""
    return CompiledModel(artefact.load(path))


def load_model(spec: str, weights: FilePath | None = None, *, ema: bool = False) -> Any:
    """The `nn.Module` of `package.module:factory` or `file.py:factory`, in eval mode, with a checkpoint's weights.

    spec: the factory may be called with literals, as in `file.py:factory(T=4)`.  ema: take the moving averages of the
    weights, which timm's checkpoints hold beside them.
    Raises UsageError for a factory that cannot be called, InvalidFileError for a checkpoint that does not fit,
    EnvironmentMissingError without torch.
    """
    return frontend().load_model(spec, weights, ema=ema)


def compare(
    deployed: CompiledModel,
    images: object,
    backends: Sequence[str] = COMPARED,
    probes: Probes = "all",
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Run images on all backends and compare every integer with the first backend's: equal, or the first divergence.

    probes: the LIFs whose spikes and membranes are compared beside the logits.  options: backend -> its options.
    The images go in slices that a bounded memory holds; nothing runs after a slice that differs.
    progress(done, total) counts samples times backends.
    Raises UsageError, and what the backends raise.
    """
    graph, chosen = deployed.graph, tuple(dict.fromkeys(backends))
    if len(chosen) < 2:
        raise unknown_backend("at least two backends", ", ".join(backends) or "none")
    for name in chosen:
        require_known(name)
    checked = check_images(images, deployed.input_shape)
    order = {node.name: str(node.source) for node in graph.of("lif")}

    def on(name: str, chunk: Images, tick: Progress | None) -> RunResult:
        return deployed.run(chunk, name, probes, **{"progress": tick, **(options or {}).get(name, {})})

    runners = [partial(on, name) for name in chosen]
    parts, unread = slices(checked, slice_size(graph, probes)), order.keys() - {node.name for node in live_nodes(graph)}
    return compare_on(runners, parts, len(checked), order, graph.output, progress, unread)


def evaluate(  # noqa: PLR0913  (the public call: each argument by its name)
    deployed: CompiledModel,
    images: object,
    labels: object,
    float_model: Any = None,
    backend: str = "auto",
    *,
    rate_samples: int = RATE_SAMPLES,
    float_batch: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Evaluation:
    """Accuracy of the integers, and with the float model the drop, the agreement and the correlation of the logits.

    labels: integers [N].  float_model: the `nn.Module` that was compiled.  rate_samples: of how many samples the
    firing rates are taken; 0 for none.  float_batch: also run the float model as its code stands, in batches of
    so many: in QKFormer's code the samples of a batch influence one another; its published accuracies were taken so.
    progress(done, total) counts the samples of all runs.  Raises as `run` does.
    """
    checked = check_images(images, deployed.input_shape)
    classes = types(deployed.graph)[deployed.graph.output].size
    truth = check_labels(labels, len(checked), classes)
    count, watched = len(checked), checked[:rate_samples]
    total = count * (1 + (float_model is not None) + (float_batch is not None))
    _check_choices(rate_samples, float_batch, float_model)
    backend = chosen_backend(backend)
    rates, parts = FiringRates(), list[RunResult]()
    for part, chunk in slices(watched, slice_size(deployed.graph, "all")):
        parts.append(deployed.run(chunk, backend, "all", **options))
        rates.add(parts[-1])
        if progress:
            progress(part.stop, total)
    if len(watched) < count:
        tick = share(progress, len(watched), count - len(watched), total)
        parts.append(deployed.run(checked[len(watched) :], backend, progress=tick, **options))
    logits = np.concatenate([part.logits for part in parts])
    real, steps = None, deployed.graph.steps if "time_loop" in deployed.graph.metadata else None
    if float_model is not None:
        tick = share(progress, count, count, total)
        real = frontend().run_float(float_model, checked, progress=tick, steps=steps)
    metrics = evaluate_logits(backend, logits, truth, real)
    if float_batch is not None:
        tick = share(progress, 2 * count, count, total)
        mixed = frontend().run_float(float_model, checked, float_batch, tick, as_written=True, steps=steps)
        metrics = replace(metrics, float_batch=float_batch, float_batch_accuracy=accuracy(mixed, truth))
    seconds = sum(part.seconds for part in parts)
    return replace(metrics, firing_rate=rates.rates(), rate_samples=rates.samples, seconds=seconds)


def evaluate_crossbar(  # noqa: PLR0913  (the public call: each argument by its name)
    deployed: CompiledModel,
    images: object,
    labels: object,
    target: FilePath = "crossbar-128-adc5",
    adc_bits: Sequence[int] = (),
    active_rows: Sequence[int | str] = ("safe", "all"),
    *,
    inputs: str = "bits",
    backend: str = "auto",
    progress: Progress | None = None,
) -> CrossbarEvaluation:
    """Accuracy with the synapses on crossbars whose ADCs clip, for all adc_bits times active_rows.

    target: a crossbar by name, or the path of a TOML file.  adc_bits: none for the target's own.
    active_rows: of a tile in one read; "safe": the most that never clip, then every integer is the unconstrained one;
    "all"; or a number.  inputs: numbers beyond 1 as "bits" or "repeats".  backend: of the unconstrained network.
    progress(done, total) counts the samples of all runs.
    Raises UsageError for bad images, labels, options, or a target without ADCs, before anything runs.
    """
    crossbar = import_module("neurodeploy.backends.reference.crossbar")
    chip, checked = load_target(target), check_images(images, deployed.input_shape)
    truth = check_labels(labels, len(checked), types(deployed.graph)[deployed.graph.output].size)
    designs = crossbar.designs(chip, adc_bits, active_rows, inputs)
    count, total = len(checked), len(checked) * (1 + len(designs))
    plain = deployed.run(checked, backend, progress=share(progress, 0, count, total)).logits
    settings = []
    for done, (asked, design) in enumerate(designs, start=1):
        tick = share(progress, done * count, count, total)
        found = crossbar.execute_on(design, deployed.graph, checked, progress=tick)
        settings.append(crossbar_setting(asked, found, truth, plain))
    return CrossbarEvaluation(chip.name, asdict(designs[0][1]), count, accuracy(plain, truth), tuple(settings))


def _check_choices(rate_samples: int, float_batch: int | None, float_model: Any) -> None:
    """Raise UsageError for choices that `evaluate` cannot follow."""
    if rate_samples < 0:
        raise UsageError(Finding("ND-C024", "rate_samples", "0 or more", str(rate_samples), "0 takes no firing rates"))
    if float_batch is not None and (float_model is None or float_batch < 1):
        have = f"{float_batch}{' without float_model' if float_model is None else ''}"
        need, mend = "1 or more, and a float_model", "pass the float model, or leave float_batch out"
        raise UsageError(Finding("ND-C025", "float_batch", need, have, mend))
