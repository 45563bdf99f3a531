"""Neurons that run across the samples of a batch: they are found in the trace, kept in the artefact, and shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurodeploy import api
from neurodeploy.errors import InvalidFileError
from neurodeploy.frontend import load_model, run_float, trace
from neurodeploy.frontend.tracer import COUPLED
from neurodeploy.ir.text import to_text
from tests.frontend.published import FILE
from tests.frontend.small import STEPS, Containers, Layers, Net, lif, lively, tiny_qkformer, tiny_spikformer


class Merged(Net):
    """The neuron reads [T*B, C, H, W], or [T, B, C, H, W]."""

    def __init__(self, merged: bool) -> None:
        super().__init__()
        self.merged = merged

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x.repeat(STEPS, 1, 1, 1)))
        y = self.lif(y).unflatten(0, (STEPS, -1)) if self.merged else self.lif(y.unflatten(0, (STEPS, -1)))
        return self.head(y.flatten(3).mean(3)).mean(0)


def coupled(model: nn.Module, size: int) -> list[str]:
    names: list[str] = json.loads(trace(model.eval(), torch.zeros(1, 1, size, size)).metadata[COUPLED])
    return names


def test_only_what_is_merged_is_coupled() -> None:
    assert coupled(Merged(True), 4) == ["lif"]
    assert coupled(Merged(False), 4) == []


def test_a_unit_axis_behind_the_merged_one_is_no_batch() -> None:
    class Unit(Net):
        def body(self, x: Tensor) -> Tensor:
            return self.lif2(x.reshape(x.shape[0] * x.shape[1], 1, -1)).view(x.shape)

    model = Unit()
    model.lif2 = lif(v_threshold=0.5)
    assert coupled(model, 4) == ["lif2"]


def test_a_batch_merged_behind_time_is_not_coupled() -> None:
    class Behind(Net):
        def body(self, x: Tensor) -> Tensor:
            return self.lif2(x.flatten(3).transpose(2, 3).flatten(1, 2)).view(x.shape)

    model = Behind()
    model.lif2 = lif(v_threshold=0.5)
    assert coupled(model, 4) == []


@pytest.mark.parametrize("make", [tiny_qkformer, tiny_spikformer])
def test_the_projects_own_models_are_not_coupled(make: type) -> None:
    assert coupled(make(), 8) == []


@pytest.mark.parametrize("model", [Layers, Containers])
def test_containers_and_views_are_not_coupled(model: type) -> None:
    assert coupled(model(), 4) == []


def test_the_text_of_the_graph_does_not_tell() -> None:
    """At batch 1 both models are one network."""
    texts = []
    for merged in (True, False):
        torch.manual_seed(0)
        texts.append(to_text(trace(Merged(merged).eval(), torch.zeros(1, 1, 4, 4), "net")))
    assert texts[0] == texts[1]
    assert COUPLED not in texts[0]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, api.CompiledModel, np.ndarray]:
    """The model of a published file, what it compiles to, and images."""
    file = tmp_path_factory.mktemp("published") / "model.py"
    file.write_text(FILE, encoding="utf-8")
    torch.manual_seed(0)
    model = lively(load_model(f"{file}:former(dim=8)"))
    images = np.random.default_rng(0).random((12, 1, 8, 8), dtype=np.float32) * 2
    return model, api.compile(model, images[:1], calibration=images), images


def test_the_artefact_keeps_the_list(
    published: tuple[nn.Module, api.CompiledModel, np.ndarray], tmp_path: Path
) -> None:
    _, deployed, _ = published
    deployed.save(tmp_path / "net.onnx")
    document = api.load(tmp_path / "net.onnx").describe(mapped=False)
    assert document["batch_coupled"] == ["block.0.proj_lif"]
    assert set(document["batch_coupled"]) <= set(deployed.layers)


def test_a_list_that_is_none_is_refused(published: tuple[nn.Module, api.CompiledModel, np.ndarray]) -> None:
    from dataclasses import replace

    graph = published[1].graph
    for text in ("[1]", "{}", "["):
        forged = api.CompiledModel(replace(graph, metadata={**graph.metadata, COUPLED: text}))
        with pytest.raises(InvalidFileError, match=f"ND-R001 {COUPLED}"):
            forged.describe(mapped=False)


def test_the_float_model_alone_and_in_batches(published: tuple[nn.Module, api.CompiledModel, np.ndarray]) -> None:
    """evaluate reports both; the deployed network computes the former."""
    model, deployed, images = published
    alone, mixed = run_float(model, images), run_float(model, images, 6, as_written=True)
    assert not np.array_equal(alone, mixed)
    labels = mixed.argmax(axis=1)
    found = api.evaluate(deployed, images, labels, model, "reference", float_batch=6)
    assert (found.float_batch, found.float_batch_accuracy) == (6, 100.0)
    assert found.float_accuracy == 100.0 * float((alone.argmax(axis=1) == labels).mean())
