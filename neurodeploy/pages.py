"""The report of a compiled network: runs what the page shows, and puts it together for `neurodeploy.report.page`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from typing import Any, NamedTuple, Protocol

from neurodeploy import maps
from neurodeploy.backends import native
from neurodeploy.backends.dispatch import chosen_backend
from neurodeploy.errors import Finding, UsageError
from neurodeploy.evaluation import (
    ActivityMeter,
    Comparison,
    check_labels,
    count_operations,
    evaluate_logits,
    measured_values,
)
from neurodeploy.images import Images, check_images
from neurodeploy.ir.chip import Placement
from neurodeploy.ir.verify import types
from neurodeploy.progress import Progress, share
from neurodeploy.report.page import Content, Mesh, Observer, page
from neurodeploy.targets import Target

MAPPED = 8  # samples, of those observed, that the chip's spikes are measured on


class Bill(Protocol):
    """What `CompiledModel.map` returns, as far as the page shows it."""

    @property
    def placement(self) -> Placement | None: ...
    @property
    def activity(self) -> Any: ...
    @property
    def findings(self) -> tuple[Finding, ...]: ...
    def as_json(self) -> dict[str, Any]: ...


class Deployed(maps.Deployed, Protocol):
    """A `neurodeploy.api.CompiledModel`, as far as a report needs it."""

    @property
    def map(self) -> Callable[..., Bill]: ...
    def describe(self, mapped: bool = ...) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Choices:
    """What a report may be asked for; the command line has an option for each.

    target: of the mapping, a name or a path; else the one it was compiled for. attention, neurons, residual: as `map`
    takes them, and sanafe too. backend: of the predictions. backends: that are compared; none for those installed,
    without Lava. observed: samples that the reference runs for rates, observed intervals, raster and attention.
    shown: of them in raster and attention. compared: of them on all backends. date: stands on the page where it is
    given.
    """

    target: str | PathLike[str] | None = None
    attention: str = "auto"
    neurons: str = "stock"
    residual: str = "graded"
    sanafe: str | PathLike[str] | None = None
    backend: str = "auto"
    backends: Sequence[str] = ()
    observed: int = 32
    shown: int = 6
    compared: int = 4
    date: str = ""

    @classmethod
    def of(cls, given: dict[str, Any]) -> Choices:
        """The choices by name. Raises UsageError for unknown names and for counts below 1, all at once."""
        known = [field.name for field in fields(cls)]
        findings = [
            Finding("ND-P012", name, f"one of {', '.join(known)}", "an unknown name", "leave it out")
            for name in given
            if name not in known
        ]
        findings += [
            Finding("ND-P013", name, "1 sample or more", str(given[name]), "leave it out")
            for name in ("observed", "shown", "compared")
            if name in given and not given[name] >= 1
        ]
        if findings:
            raise UsageError(findings)
        return cls(**given)


Compare = Callable[..., Comparison]


class Made(NamedTuple):
    """A page, and all that stands against the mapping that it shows."""

    html: str
    findings: tuple[Finding, ...]


def made(
    deployed: Deployed,
    compare: Compare,
    images: object,
    labels: object = None,
    float_model: Any = None,
    progress: Progress | None = None,
    **given: Any,
) -> Made:
    """The page. given: see `Choices`.  progress(done, total) counts the samples of all runs.

    Raises UsageError for bad images, labels or choices, and as `run`, `compare` and `map` do.
    """
    asked, checked = Choices.of(given), check_images(images, deployed.input_shape)
    graph, count = deployed.graph, len(checked)
    mesh = _mesh(maps.chip_of(graph, asked.target))  # a wrong target is refused before all runs
    truth = None if labels is None else check_labels(labels, count, types(graph)[graph.output].size)
    if float_model is not None and truth is None:
        raise UsageError(Finding("ND-P014", "float_model", "labels beside it", "no labels", "pass the labels"))
    places = spread(count, asked.observed)
    watched, backends = checked[list(places)], tuple(asked.backends) or installed()
    compared = watched[list(spread(len(watched), asked.compared))]
    lowering = {name: getattr(asked, name) for name in ("attention", "neurons", "residual", "sanafe")}
    bill = deployed.map(asked.target, watched[:MAPPED], **lowering)
    parts = [count, count if float_model is not None else 0, len(watched), len(compared) * len(backends)]
    ticks = [share(progress, sum(parts[:i]), max(1, part), sum(parts)) for i, part in enumerate(parts)]
    run = deployed.run(checked, chosen_backend(asked.backend), progress=ticks[0])
    real = None
    if float_model is not None:
        steps = graph.steps if "time_loop" in graph.metadata else None
        real = import_module("neurodeploy.frontend").run_float(float_model, checked, progress=ticks[1], steps=steps)
    evaluation = None if truth is None else evaluate_logits(run.backend, run.logits, truth, real).as_json()
    observer = Observer(graph, spread(len(watched), asked.shown))
    meter = ActivityMeter(measured_values(graph))
    deployed.run(watched, "reference", progress=ticks[2], watch=_both(observer, meter))
    many = len(backends) > 1
    comparison = compare(deployed, compared, backends, progress=ticks[3]).as_json() if many else None
    content = Content(
        graph=graph,
        bounds=deployed.bounds,
        document=deployed.describe(mapped=False),
        observer=observer,
        observed=places,
        images=watched[list(observer.shown)],
        logits=run.logits,
        backend=run.backend,
        labels=truth,
        evaluation=evaluation,
        operations=count_operations(graph, meter.activities(), len(watched)).as_json(),
        comparison=comparison,
        mapping=bill.as_json(),
        placement=bill.placement,
        mesh=mesh,
        sends=None if bill.activity is None else bill.activity.rates,
        date=asked.date,
    )
    return Made(page(content), bill.findings)


def spread(count: int, most: int) -> tuple[int, ...]:
    """At most so many of `count` samples, evenly spread, for data is often sorted by class."""
    taken = min(count, most)
    return tuple((2 * i + 1) * count // (2 * taken) for i in range(taken))


def installed() -> tuple[str, ...]:
    """The backends of the quantized graph that work here."""
    found = {"native": native.available(), "onnx": find_spec("onnxruntime") is not None}
    return ("reference", *(name for name, there in found.items() if there))


def _mesh(chip: Target) -> Mesh:
    """The routers of a chip, as far as its file knows them."""
    return Mesh(chip.mesh or (0, 0), chip.cores_a_router or 1)


def _both(observer: Observer, meter: ActivityMeter) -> Callable[[str, Images], None]:
    def watch(name: str, values: Any) -> None:
        observer.add(name, values)
        meter.add(name, values)

    return watch
