"""Accuracy on crossbars against ADC bits and active rows, beside that of the unconstrained integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.evaluation.metrics import PERCENT, Labels, accuracy


class CrossbarLayer(Protocol):
    """What a layer took and what its converters did, see `neurodeploy.backends.reference.crossbar_reads.Layer`."""

    name: str
    kind: str
    rows: int
    outputs: int
    positions: int
    planes: int
    tiles: int
    reads: int
    serial: int
    conversions: int
    steps: int
    clipped: int
    saturated: int

    @property
    def clipped_share(self) -> float: ...


class CrossbarRun(Protocol):
    """A run on crossbars, see `neurodeploy.backends.reference.crossbar.CrossbarResult`."""

    @property
    def logits(self) -> NDArray[np.int64]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def crossbar(self) -> Any: ...
    @property
    def layers(self) -> Sequence[CrossbarLayer]: ...


@dataclass(frozen=True)
class LayerFigures:
    """A layer in one step: rows (fan-in), outputs a position, positions, planes (reads of a number), tiles, reads.

    serial: reads of one tile, one after another.  clipped: share of its conversions.  saturated: sums held at their
    proven interval, over the run.
    """

    kind: str
    rows: int
    outputs: int
    positions: int
    planes: int
    tiles: int
    reads: int
    serial: int
    conversions: int
    clipped: float
    saturated: int


@dataclass(frozen=True)
class CrossbarSetting:
    """One setting of a crossbar, and what it gave.

    active_rows: driven in one read; asked: "safe", "all" or that number.  safe: no read can clip, whatever the weights.
    accuracy: percent.  agreement: percent of samples of the class that the unconstrained integers name.
    equal: every logit is theirs.  tiles: that hold all weights once.  reads, conversions: of all tiles and ADCs in a
    step.  serial: reads in a step where all tiles of a layer work at once and the layers one after another.
    clipped: share of all conversions.  saturated: sums held at their proven interval.
    layers: by name.  seconds: wall time.
    """

    adc_bits: int
    active_rows: int
    asked: int | str
    safe: bool
    accuracy: float
    agreement: float
    equal: bool
    tiles: int
    reads: int
    serial: int
    conversions: int
    clipped: float
    saturated: int
    layers: Mapping[str, LayerFigures]
    seconds: float


@dataclass(frozen=True)
class CrossbarEvaluation:
    """A network on a crossbar target. accuracy: of the unconstrained integers, percent.  crossbar: its design."""

    target: str
    crossbar: Mapping[str, Any]
    samples: int
    accuracy: float
    settings: tuple[CrossbarSetting, ...]

    def as_json(self) -> dict[str, Any]:
        """The evaluation as plain data."""
        return asdict(self)


def crossbar_setting(
    asked: int | str, run: CrossbarRun, labels: Labels, unconstrained: NDArray[np.int64]
) -> CrossbarSetting:
    """The metrics of a run on crossbars; unconstrained: the logits [N, classes] of the same network without them."""
    same = run.logits.argmax(axis=1) == unconstrained.argmax(axis=1)
    converted = sum(layer.steps * layer.conversions for layer in run.layers)
    return CrossbarSetting(
        adc_bits=run.crossbar.adc_bits,
        active_rows=run.crossbar.active_rows,
        asked=asked,
        safe=run.crossbar.safe,
        accuracy=accuracy(run.logits, labels),
        agreement=PERCENT * float(same.mean()),
        equal=bool(np.array_equal(run.logits, unconstrained)),
        tiles=sum(layer.tiles for layer in run.layers),
        reads=sum(layer.reads for layer in run.layers),
        serial=sum(layer.serial for layer in run.layers),
        conversions=sum(layer.conversions for layer in run.layers),
        clipped=sum(layer.clipped for layer in run.layers) / max(1, converted),
        saturated=sum(layer.saturated for layer in run.layers),
        layers={layer.name: _figures(layer) for layer in run.layers},
        seconds=run.seconds,
    )


def _figures(layer: CrossbarLayer) -> LayerFigures:
    held = {field.name: getattr(layer, field.name) for field in fields(LayerFigures)}
    return LayerFigures(**held | {"clipped": layer.clipped_share})
