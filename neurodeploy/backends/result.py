"""What every backend returns, and how a caller names what to probe."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, LimitExceededError, UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.verify import types

PROBE_BYTES = 5  # a spike (uint8) and a membrane (int32)
SLICE = 64  # samples that are probed or compared at a time
MEMORY = 1 << 29  # bytes that the probes of one backend may take in a slice
Probes = Literal["all", "none"] | Sequence[str]


@dataclass(frozen=True)
class RunResult:
    """The integers of one run.

    logits:   int64 [N, classes]; times `scale` they approximate the float model's logits.
    spikes:   LIF name -> uint8 [N, T, *shape].
    membrane: LIF name -> int32 [N, T, *shape], membrane units (2^-6 weight unit), after the neurons that fired reset.
    seconds:  wall time of the execution, without loading.
    """

    backend: str
    logits: NDArray[np.int64]
    scale: float
    spikes: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    membrane: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def classes(self) -> NDArray[np.int64]:
        """The most active class of each sample, int64 [N]; the lowest index wins a tie."""
        return np.asarray(np.argmax(self.logits, axis=1), np.int64)


def require_room(neurons: int, steps: int, samples: int) -> None:
    """Raise LimitExceededError where what is probed, `neurons` of them, would not fit this machine's memory.

    What is probed is kept for all samples, so that slices do not bound it; without probes memory never grows.
    """
    need, have = PROBE_BYTES * neurons * steps * samples, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need > have:
        room, wanted = f"spikes and membranes below {have:,} bytes, the memory of this machine", f"{need:,} bytes"
        raise LimitExceededError(Finding("ND-B007", "probes", room, wanted, "probe fewer layers or fewer samples"))


def slice_size(graph: Graph, probes: Probes) -> int:
    """Samples whose probes fit MEMORY, at most SLICE. Raises UsageError for probes that match nothing."""
    names = select_probes(probes, [node.name for node in graph.of("lif")])
    sample = PROBE_BYTES * graph.steps * sum(types(graph)[name].size for name in names)
    return max(1, min(SLICE, MEMORY // max(sample, 1)))


def select_probes(probes: Probes, names: Sequence[str]) -> tuple[str, ...]:
    """The LIF names that `probes` asks for: "all", "none", or names and shell patterns.

    Raises UsageError for a pattern that matches nothing; all such patterns at once.
    """
    if probes == "none":
        return ()
    if probes == "all":
        return tuple(names)
    patterns = (probes,) if isinstance(probes, str) or not isinstance(probes, Collection) else tuple(probes)
    missing = [pattern for pattern in patterns if not any(fnmatchcase(name, str(pattern)) for name in names)]
    if missing:
        near = ", ".join(list(names)[:4])
        raise UsageError(
            Finding("ND-B001", str(pattern), "the name or pattern of a LIF layer", "no layer matches", f"e.g. {near}")
            for pattern in missing
        )
    return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))
