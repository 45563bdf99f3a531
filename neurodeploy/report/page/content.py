"""What a page is made of: plain results of the stages, put together by `neurodeploy.api`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.chip import Placement
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.proof import Bound
from neurodeploy.report.page.chip import Mesh
from neurodeploy.report.page.observe import Observer

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Content:
    """Everything that a page shows. What is None was not asked for or not possible; `reasons` says why.

    document: of `describe.graph_document`.  observer: has watched a run of the reference over `observed` (numbers of
    samples in the data).  images: float32 of the samples that it shows, in the order of `observer.shown`.
    logits: int64 [N, classes] of all samples, by `backend`.  labels: int64 [N].
    evaluation, operations, comparison: `as_json()` of what `neurodeploy.evaluation` gives.
    mapping: `as_json()` of the bill on a chip.  placement: its cores, on the `mesh` of a chip.
    sends: population -> spikes a neuron and step.
    reasons: section -> why it has no content.  date: shown where it is given.
    """

    graph: Graph
    bounds: Sequence[Bound]
    document: Document
    observer: Observer
    observed: Sequence[int]
    images: NDArray[np.float32]
    logits: NDArray[np.int64]
    backend: str
    labels: NDArray[np.int64] | None = None
    evaluation: Document | None = None
    operations: Document | None = None
    comparison: Document | None = None
    mapping: Document | None = None
    placement: Placement | None = None
    mesh: Mesh = field(default_factory=Mesh)
    sends: Mapping[str, NDArray[np.float64]] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    date: str = ""
