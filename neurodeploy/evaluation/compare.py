"""Runs of several backends are equal in every integer, or the first divergence is named.

First means: the lowest sample, in it the earliest time step, in it the first layer in graph order, and in that layer
spikes before membranes, at the lowest neuron index (C order). The logits of a sample follow its last step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import BackendsDifferError, Finding
from neurodeploy.images import Images
from neurodeploy.progress import Progress, share


class Run(Protocol):
    """What a backend returns, see `neurodeploy.backends.result.RunResult`."""

    @property
    def backend(self) -> str: ...
    @property
    def logits(self) -> NDArray[np.int64]: ...
    @property
    def spikes(self) -> Mapping[str, NDArray[np.uint8]]: ...
    @property
    def membrane(self) -> Mapping[str, NDArray[np.int32]]: ...
    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True)
class Divergence:
    """The first value in which two backends differ.

    quantity: spike, membrane (membrane units, after reset) or logit.  layer: the LIF, or the output of the network.
    sample, step: from 0; step is None for a logit.  neuron: index in the layer's shape.  values: as in `backends`.
    """

    quantity: str
    layer: str
    sample: int
    step: int | None
    neuron: tuple[int, ...]
    backends: tuple[str, str]
    values: tuple[int, int]
    source: str = ""

    def finding(self) -> Finding:
        """The divergence as the finding of an error."""
        first, second = self.backends
        place = f"sample {self.sample}" + ("" if self.step is None else f", step {self.step}")
        where = f"{self.quantity} of neuron {list(self.neuron)}, {place}"
        need = f"{where}: {self.values[0]} as in {first}"
        advice = f"this is a bug of a backend, please report it; probe {self.layer} alone with --probes to see more"
        return Finding("ND-V010", self.layer, need, f"{self.values[1]} in {second}", advice, self.source)


@dataclass(frozen=True)
class Comparison:
    """What was compared, and the first divergence if there is one.

    samples: compared so far; nothing after a divergence is.  values: quantity -> pairs of integers compared, over all
    pairs of the first backend with each other one.  seconds: backend -> wall time of its runs.  left_out: LIFs that
    nothing reads and that not all backends have, for the mapped network is without them.
    """

    backends: tuple[str, ...]
    samples: int
    layers: tuple[str, ...]
    values: Mapping[str, int]
    seconds: Mapping[str, float] = field(default_factory=dict)
    divergence: Divergence | None = None
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In a line: equal, with the number of values, or the first divergence."""
        if self.divergence is not None:
            return str(self.divergence.finding())
        count = f"{self.samples} samples, {len(self.layers)} LIF layers, {sum(self.values.values()):,} values"
        without = f"; nothing reads {', '.join(self.left_out)}: not compared" if self.left_out else ""
        return f"{' == '.join(self.backends)}: {count}, 0 differences{without}"

    @property
    def equal(self) -> bool:
        """Whether all backends gave the same integers."""
        return self.divergence is None

    def require_equal(self) -> Comparison:
        """This comparison. Raises BackendsDifferError with the first divergence."""
        if self.divergence is not None:
            raise BackendsDifferError(self.divergence.finding())
        return self

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain data."""
        return {"equal": self.equal, **asdict(self)}


Runner = Callable[[Images, Progress | None], Run]


def compare_on(
    runners: Sequence[Runner],
    parts: Iterable[tuple[slice, Images]],
    samples: int,
    order: Mapping[str, str],
    output: str,
    progress: Progress | None = None,
    unread: Collection[str] = (),
) -> Comparison:
    """Run the slices of the images on every backend, and compare each; nothing runs after a slice that differs.

    parts: slices of the `samples`, with their images.  order, output, unread: as of `compare_runs`.
    progress(done, total) counts samples times backends.  Raises what the runners raise, and as `compare_runs` does.
    """
    found: list[Comparison] = []
    for part, images in parts:
        begun = [part.start * len(runners) + place * len(images) for place in range(len(runners))]
        ticks = [share(progress, start, len(images), samples * len(runners)) for start in begun]
        runs = [run(images, tick) for run, tick in zip(runners, ticks, strict=True)]
        found.append(compare_runs(runs, order, output, part.start, unread))
        if not found[-1].equal:
            break
    return joined(found)


def compare_runs(
    runs: Sequence[Run], order: Mapping[str, str], output: str, start: int = 0, unread: Collection[str] = ()
) -> Comparison:
    """Compare each run with the first one.

    order: LIF -> its source, in graph order.  output: the name of the value that is the logits.
    start: number of the first sample of these runs.  unread: LIFs that nothing reads, which a backend may leave out.
    Raises BackendsDifferError where what was recorded has not the same layers and shapes.
    """
    left_out = tuple(name for name in order if name in unread and len({name in run.spikes for run in runs}) > 1)
    _require_same_layers(runs, left_out)
    layers = tuple(name for name in order if name in runs[0].spikes and name not in left_out)
    found = [_first(runs[0], other, layers, output) for other in runs[1:]]
    first = min((candidate for candidate in found if candidate), key=lambda c: c[0], default=None)
    pairs, samples = len(runs) - 1, len(runs[0].logits)
    values = {
        "spikes": pairs * sum(runs[0].spikes[name].size for name in layers),
        "membranes": pairs * sum(array.size for name, array in runs[0].membrane.items() if name not in left_out),
        "logits": pairs * runs[0].logits.size,
    }
    seconds = {run.backend: run.seconds for run in runs}
    divergence = _placed(first[1], start, order) if first else None
    return Comparison(tuple(run.backend for run in runs), samples, layers, values, seconds, divergence, left_out)


def joined(parts: Sequence[Comparison]) -> Comparison:
    """One comparison of parts that follow one another."""
    values: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for part in parts:
        values.update(part.values)
        seconds.update(part.seconds)  # a Counter adds floats as well
    samples = sum(part.samples for part in parts)
    first, last = parts[0], parts[-1]
    return replace(last, samples=samples, layers=first.layers, values=dict(values), seconds=dict(seconds))


Key = tuple[int, int, int]  # (sample * T + step, place of the layer, quantity)
Candidate = tuple[Key, Divergence]


def _first(a: Run, b: Run, layers: Sequence[str], output: str) -> Candidate | None:
    """The first divergence of two runs with its place in the order; samples count from 0 in these runs."""
    return min(_candidates(a, b, layers, output), key=lambda candidate: candidate[0], default=None)


def _candidates(a: Run, b: Run, layers: Sequence[str], output: str) -> Iterator[Candidate]:
    """The first divergence of each layer and quantity."""
    names, steps = (a.backend, b.backend), 1
    for place, layer in enumerate(layers):
        steps = a.spikes[layer].shape[1]
        pairs: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {"spike": (a.spikes[layer], b.spikes[layer])}
        if layer in a.membrane:
            pairs["membrane"] = (a.membrane[layer], b.membrane[layer])
        for rank, (quantity, (x, y)) in enumerate(pairs.items()):
            index = _first_index(x, y)
            if index is not None:
                sample, step, *neuron = index
                values = (int(x[index]), int(y[index]))
                key = (sample * steps + step, place, rank)
                yield key, Divergence(quantity, layer, sample, step, tuple(neuron), names, values)
    index = _first_index(a.logits, b.logits)
    if index is not None:
        values = (int(a.logits[index]), int(b.logits[index]))
        key = (index[0] * steps + steps - 1, len(layers), 0)
        yield key, Divergence("logit", output, index[0], None, index[1:], names, values)


def _first_index(x: NDArray[Any], y: NDArray[Any]) -> tuple[int, ...] | None:
    """The first index, in C order, in which two arrays of one shape differ."""
    if np.array_equal(x, y):
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(x != y)), x.shape))


def _placed(divergence: Divergence, start: int, order: Mapping[str, str]) -> Divergence:
    """The divergence with the sample's number in the whole data, and the source of its layer."""
    known = asdict(divergence) | {"sample": divergence.sample + start, "source": order.get(divergence.layer, "")}
    return Divergence(**known)


def _require_same_layers(runs: Sequence[Run], left_out: Collection[str]) -> None:
    findings = [finding for other in runs[1:] for finding in _unlike(runs[0], other, left_out)]
    if findings:
        raise BackendsDifferError(findings)


def _unlike(a: Run, b: Run, left_out: Collection[str]) -> Iterator[Finding]:
    """A finding for each array that one run has, and the other has not or in another shape."""
    for quantity in ("spikes", "membrane"):
        x, y = getattr(a, quantity), getattr(b, quantity)
        for layer in (name for name in dict.fromkeys((*x, *y)) if name not in left_out):
            yield from _unlike_shapes(layer, f"{quantity} of", (a, x.get(layer)), (b, y.get(layer)))
    yield from _unlike_shapes("", "logits of", (a, a.logits), (b, b.logits))


def _unlike_shapes(
    layer: str, what: str, a: tuple[Run, NDArray[Any] | None], b: tuple[Run, NDArray[Any] | None]
) -> Iterator[Finding]:
    shapes = [None if array is None else list(array.shape) for _, array in (a, b)]
    if shapes[0] != shapes[1]:
        need = f"{what} shape {shapes[0]}, as in {a[0].backend}"
        have = f"{shapes[1]} in {b[0].backend}"
        yield Finding("ND-V011", layer, need, have, "this is a bug of a backend, please report it")
