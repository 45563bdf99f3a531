"""Options of a run: what a backend's function does not take is refused, the same way for all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy.api import CompiledModel, compare
from neurodeploy.backends.dispatch import BACKENDS
from neurodeploy.backends.options import most_threads
from neurodeploy.errors import UsageError
from neurodeploy.ir import samples

LOCAL = ("reference", "mapped", "native", "onnx")


@pytest.fixture(scope="module")
def deployed() -> CompiledModel:
    return CompiledModel(samples.random_graph(1))  # of which no LIF is unread


def images(deployed: CompiledModel, count: int = 3) -> Any:
    return samples.random_images(deployed.graph, count, 1)


def refused(deployed: CompiledModel, backend: str, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(UsageError) as caught:
        deployed.run(images(deployed), backend, **options)
    return [(finding.code, finding.layer) for finding in caught.value.findings]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "options",
    [{"bogus": 1}, {"progress": 5}, {"probes": 5}, {"probes": [1]}, {"probes": None}],
)
def test_what_no_backend_takes(deployed: CompiledModel, backend: str, options: dict[str, Any]) -> None:
    assert refused(deployed, backend, **options) == [("ND-B008", *options)]


@pytest.mark.parametrize("backend", ["reference", "native", "onnx"])
@pytest.mark.parametrize("batch", [1.5, "3", True, np.float32(2)])
def test_batches_that_are_no_number(deployed: CompiledModel, backend: str, batch: object) -> None:
    assert refused(deployed, backend, batch=batch) == [("ND-B008", "batch")]


@pytest.mark.parametrize("backend", ["native", "onnx"])
def test_threads(deployed: CompiledModel, backend: str) -> None:
    for threads in (1.5, None, "2", True):
        assert refused(deployed, backend, threads=threads) == [("ND-B008", "threads")]
    for threads in (-1, most_threads() + 1, 4000, 2**70):
        assert refused(deployed, backend, threads=threads) == [("ND-B009", "threads")]
    deployed.run(images(deployed), backend, threads=np.int64(2), batch=np.int32(1), progress=None)


def test_all_that_is_wrong_is_said_at_once(deployed: CompiledModel) -> None:
    found = refused(deployed, "lava", runtime="cloud", conv=1, timeout="5", attention="vk", threads=1)
    assert found == [("ND-B008", name) for name in ("runtime", "conv", "timeout", "attention", "threads")]


@pytest.mark.parametrize("backend", LOCAL)
@pytest.mark.parametrize("probes", ["all", "none", "*", ["*"], ("*",), [], np.array(["*", "*"])])
def test_probes_in_every_form(deployed: CompiledModel, backend: str, probes: Any) -> None:
    run = deployed.run(images(deployed), backend, probes=probes)
    assert set(run.spikes) == (set() if str(probes) in ("none", "[]") else set(deployed.layers))


def test_attention_is_an_option_of_the_mapped_network_alone(deployed: CompiledModel) -> None:
    deployed.run(images(deployed), "mapped", attention="kv")
    assert refused(deployed, "reference", attention="kv") == [("ND-B008", "attention")]
    deployed.run(images(deployed), "mapped", attention="stream", neurons="custom", residual="graded")
    assert refused(deployed, "mapped", neurons="own") == [("ND-B008", "neurons")]


@pytest.mark.parametrize("probes", [5, None, [1], 0.5])
def test_probes_of_a_comparison(deployed: CompiledModel, probes: Any) -> None:
    with pytest.raises(UsageError, match="ND-B001"):
        compare(deployed, images(deployed), ("reference", "onnx"), probes=probes)


def test_options_of_a_crossbar(deployed: CompiledModel) -> None:
    wrong = {"target": 5, "adc_bits": "5", "active_rows": "most", "inputs": 1}
    assert refused(deployed, "crossbar", **wrong) == [("ND-B008", name) for name in wrong]
    deployed.run(images(deployed), "crossbar", target="crossbar-isaac", adc_bits=np.int64(6), active_rows=np.int32(3))
