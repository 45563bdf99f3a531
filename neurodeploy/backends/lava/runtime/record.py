"""What a run leaves: spikes, membranes and logits by sample and step, and the file that holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .network import Network, NetworkError, apply_views

Arrays = Mapping[str, NDArray[Any]]


def select(names: Sequence[str], probes: str, more: Sequence[str] = ()) -> tuple[str, ...]:
    """The probes that "all", "none" or a list of names and shell patterns with commas between asks for, and `more`."""
    if probes == "all":
        return tuple(names)
    patterns = [*([] if probes == "none" else probes.split(",")), *more]
    missing = [pattern for pattern in patterns if not any(_match(name, pattern) for name in names)]
    if missing:
        raise NetworkError(f"no LIF is called {', '.join(missing)}; there are {', '.join(names)}")
    return tuple(name for name in names if any(_match(name, pattern) for pattern in patterns))


def _match(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


class Recorder:
    """Sorts what populations send at a time step into samples and their steps.

    Step t of sample s of a neuron at depth D happens at index (s * T + t) * period + D - phase; what comes before is
    the filling of the pipeline, what comes after its emptying.  The output is summed over all time steps of a sample.
    """

    def __init__(self, network: Network, samples: int, probes: Sequence[str]) -> None:
        self.network = network
        self.probes = tuple(probes)
        self.lifs = {part for name in self.probes for part in self._parts(network.probes[name].population)}
        self.populations = {network.output, *self.lifs}
        count = samples * network.steps
        shapes = {name: (count, *network.populations[name].shape) for name in self.populations}
        self._sum = np.zeros((samples, *shapes[network.output][1:]), np.int64)
        self._spikes = {name: np.zeros(shapes[name], np.uint8) for name in self.lifs}
        self._membrane = {name: np.zeros(shapes[name], np.int32) for name in self.lifs}
        self._span = samples * network.span

    def due(self, index: int) -> tuple[str, ...]:
        """The recorded populations that are in a sample at a time index from 0."""
        depths = {name: self.network.populations[name].depth for name in self.populations}
        first = 1 - self.network.period  # the first token of those that come one after another
        return tuple(name for name, depth in depths.items() if first <= index - depth < first + self._span)

    def record(self, index: int, sent: Arrays, membrane: Arrays) -> None:
        """Take what each population sent, and each LIF's membrane, at a time index from 0."""
        for name in self.due(index):
            population = self.network.populations[name]
            at, past = divmod(index - population.depth + self.network.period - 1, self.network.period)
            phase = self.network.period - 1 - past
            if name == self.network.output:
                self._sum[at // self.network.steps] += sent[name].astype(np.int64)
            if name in self.lifs:
                busy = np.broadcast_to(population.phase == phase, population.shape)
                self._spikes[name][at][busy] = sent[name][busy]
                self._membrane[name][at][busy] = membrane[name][busy]

    @property
    def logits(self) -> NDArray[np.int64]:
        """Summed payloads of the output plus its bias, int64 [N, classes]."""
        flat = self._sum.reshape(self._sum.shape[0], -1)
        return flat + self.network.output_bias.reshape(-1)

    def save(self, path: Path, seconds: float) -> None:
        """Write logits, seconds, spikes/<name> uint8 and membrane/<name> int32, both [N, T, *shape]."""
        arrays: dict[str, NDArray[Any]] = {"logits": self.logits, "seconds": np.asarray(seconds)}
        for name in self.probes:
            arrays[f"spikes/{name}"] = self._view(name, self._spikes)
            arrays[f"membrane/{name}"] = self._view(name, self._membrane)
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def _view(self, name: str, arrays: dict[str, NDArray[Any]]) -> NDArray[Any]:
        probe = self.network.probes[name]
        flat = self._joined(probe.population, arrays)
        split = flat.reshape(-1, self.network.steps, *flat.shape[1:])
        return apply_views(split, probe.views, axes=2)

    def _parts(self, name: str) -> tuple[str, ...]:
        """The populations that hold a layer: one, or one a threshold."""
        return tuple(self.network.wholes[name].parts) if name in self.network.wholes else (name,)

    def _joined(self, name: str, arrays: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """A population's rows, or those of all parts of a layer, each neuron at its place."""
        if name not in self.network.wholes:
            return arrays[name]
        whole = self.network.wholes[name]
        first = arrays[next(iter(whole.parts))]
        rows = np.empty((len(first), np.prod(whole.shape)), first.dtype)
        for part, members in whole.parts.items():
            rows[:, members] = arrays[part].reshape(len(first), -1)
        return rows.reshape(len(first), *whole.shape)
