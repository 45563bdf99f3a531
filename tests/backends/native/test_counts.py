"""Counts of spikes in tables: the lowest bit is looked up, columns are added for the rest, or all goes to the tile."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.backends import native, reference
from neurodeploy.backends.native import lookup
from neurodeploy.backends.native.engine import PATH_VARIABLE
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.samples import Draft, readout
from tests.backends.native.test_equality import differences
from tests.backends.native.test_shapes import convolution, spiking

MOST = 7
KINDS = {"linear": (1, False), "windows": (3, False), "pooled": (3, True)}


def counts_graph(kind: str, outputs: int, size: tuple[int, int, int], steps: int) -> Graph:
    kernel, pool = KINDS[kind]
    draft = Draft(np.random.default_rng(outputs), steps)
    value = draft.add("encode", (), shape=size, step=1.0, lo=0, hi=MOST)
    value = spiking(draft, convolution(draft, value, outputs, kernel), pool)
    summed = draft.add("reduce_sum", (value,), axes=(1, 2), keepdims=0)
    return draft.graph(readout(draft, summed), f"{kind}-{outputs}")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.6])  # of axons above 1; the last is left to the tile
@pytest.mark.parametrize(
    ("outputs", "size"), [(20, (5, 9, 8)), (33, (70, 13, 9)), (130, (72, 6, 11)), (64, (300, 5, 5))]
)
@pytest.mark.parametrize("kind", KINDS)
def test_counts(
    kind: str, outputs: int, size: tuple[int, int, int], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = counts_graph(kind, outputs, size, steps=3)
    rng = np.random.default_rng(outputs)
    images = (rng.random((2, *graph.image_shape)) < 0.3).astype(np.float32)
    images[rng.random(images.shape) < share] = rng.integers(2, MOST + 1)
    monkeypatch.setenv(lookup.FORCE, "1")
    expected = reference.run(graph, images, "all")
    for path in native.paths():
        monkeypatch.setenv(PATH_VARIABLE, path)
        for threads in (1, 3):  # one sample a thread, or all threads on one sample
            assert differences(expected, native.run(graph, images, "all", threads=threads)) == [], path
