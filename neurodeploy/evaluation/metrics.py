"""How much the integers lose against the float model, and how often neurons fire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, UsageError
from neurodeploy.evaluation.compare import Run

Labels = NDArray[np.int64]
PERCENT = 100.0


@dataclass(frozen=True)
class Evaluation:
    """Accuracies in percent of `samples`, and what quantization changed; None where there is no float model.

    drop: float minus integer accuracy, in points.  drop_error: its paired standard error, in points.
    agreement: percent of samples in which both name the same class.  correlation: Pearson's r over all logits.
    float_batch_accuracy: that of the float model as its code stands in batches of `float_batch`, where a neuron may run
    across the samples of a batch; float_accuracy is that of each sample alone.
    firing_rate: LIF -> spikes a neuron and time step, over the first `rate_samples` samples.
    seconds: wall time of the integer run.
    """

    backend: str
    samples: int
    integer_accuracy: float
    float_accuracy: float | None = None
    drop: float | None = None
    drop_error: float | None = None
    agreement: float | None = None
    correlation: float | None = None
    float_batch: int | None = None
    float_batch_accuracy: float | None = None
    firing_rate: Mapping[str, float] = field(default_factory=dict)
    rate_samples: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """In a line: accuracies, drop and agreement."""
        text = f"{self.samples} samples: integer {self.integer_accuracy:.2f} %"
        if self.float_accuracy is None:
            return text
        return f"{text}, float {self.float_accuracy:.2f} %, drop {self.drop:.2f}, same class {self.agreement:.2f} %"

    def as_json(self) -> dict[str, Any]:
        """The evaluation as plain data."""
        return asdict(self)


def check_labels(labels: object, samples: int, classes: int) -> Labels:
    """The labels as int64 [N]. Raises UsageError unless each image has one, 0..classes-1, none of them masked."""
    try:
        array = np.asarray(labels)
    except (TypeError, ValueError) as error:  # rows of different length
        need, mend = f"integers [{samples}], one an image", "pass the labels"
        raise UsageError(Finding("ND-V001", "labels", need, str(error), mend)) from error
    masked = np.ma.is_masked(labels)
    if masked or array.shape != (samples,) or not np.issubdtype(array.dtype, np.integer):
        have = "masked values" if masked else f"dtype {array.dtype}, shape {list(array.shape)}"
        raise UsageError(Finding("ND-V001", "labels", f"integers [{samples}], one an image", have, "pass the labels"))
    if samples and not (int(array.min()) >= 0 and int(array.max()) < classes):
        have, need = f"{array.min()}..{array.max()}", f"class numbers 0..{classes - 1}"
        raise UsageError(Finding("ND-V002", "labels", need, have, "number the classes from 0, as the model does"))
    return array.astype(np.int64)


def accuracy(logits: NDArray[Any], labels: Labels) -> float:
    """Percent of logits [N, classes] whose largest is that of the label."""
    return PERCENT * float((logits.argmax(axis=1) == labels).mean())


def evaluate_logits(
    backend: str, integer: NDArray[np.int64], labels: Labels, real: NDArray[np.float64] | None = None
) -> Evaluation:
    """The metrics of logits [N, classes] against labels [N], and against the float model's logits if there are any."""
    right = integer.argmax(axis=1) == labels
    accuracy = PERCENT * float(right.mean())
    if real is None:
        return Evaluation(backend, len(labels), accuracy)
    float_right = real.argmax(axis=1) == labels
    float_accuracy = PERCENT * float(float_right.mean())
    return Evaluation(
        backend,
        len(labels),
        accuracy,
        float_accuracy,
        drop=float_accuracy - accuracy,
        drop_error=paired_error(float_right, right),
        agreement=PERCENT * float((integer.argmax(axis=1) == real.argmax(axis=1)).mean()),
        correlation=pearson(integer.astype(np.float64), real),
    )


def paired_error(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> float | None:
    """Standard error of a drop in points, from the differences sample by sample; None for a single sample."""
    if len(before) < 2:
        return None
    difference = before.astype(np.float64) - after
    return PERCENT * float(difference.std(ddof=1) / np.sqrt(len(difference)))


def pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Pearson's r over all entries; None where one of them is constant."""
    x, y = (array.ravel() - array.mean() for array in (a, b))
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread > 0 else None


class FiringRates:
    """Spikes a neuron and time step of each LIF, summed over runs."""

    def __init__(self) -> None:
        self._spikes: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self.samples = 0

    def add(self, run: Run) -> None:
        """Count a run's spikes."""
        self.samples += len(run.logits)
        for name, spikes in run.spikes.items():
            self._spikes[name] = self._spikes.get(name, 0) + int(np.count_nonzero(spikes))
            self._places[name] = self._places.get(name, 0) + spikes.size

    def rates(self) -> dict[str, float]:
        """LIF -> mean firing rate, 0..1."""
        return {name: count / self._places[name] for name, count in self._spikes.items()}
