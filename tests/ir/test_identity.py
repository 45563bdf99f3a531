"""The identity of a network: kept by its artefact, changed by every integer of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.ir import artefact
from neurodeploy.ir.identity import identity
from neurodeploy.ir.samples import random_graph


@pytest.mark.parametrize("seed", range(8))
def test_an_artefact_keeps_it(seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed)
    artefact.save(graph, tmp_path / "a.onnx")
    assert identity(artefact.load(tmp_path / "a.onnx")) == identity(graph)


def test_names_and_metadata_are_not_in_it() -> None:
    graph = random_graph(1)
    assert identity(replace(graph, name="other", metadata={"target": "x"})) == identity(graph)


def test_every_part_is_in_it() -> None:
    graph = random_graph(2)
    found = {identity(graph), identity(replace(graph, steps=graph.steps + 1))}
    for i, node in enumerate(graph.nodes):
        changed = [replace(node, name=node.name + "x")]
        changed += [replace(node, tensors={**node.tensors, k: np.asarray(v) + 1}) for k, v in node.tensors.items()]
        changed += [
            replace(node, attributes={**node.attributes, k: v + 1})
            for k, v in node.attributes.items()
            if type(v) is int
        ]
        found |= {identity(replace(graph, nodes=(*graph.nodes[:i], one, *graph.nodes[i + 1 :]))) for one in changed}
        count = 2 + sum(
            1 + len(n.tensors) + sum(type(v) is int for v in n.attributes.values()) for n in graph.nodes[: i + 1]
        )
        assert len(found) == count
