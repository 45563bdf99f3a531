"""Files of SLAYER's own export: the integers are those that netx of lava-dl 0.6.0 computed, which are stored beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py")

from neurodeploy.api import CompiledModel, load
from neurodeploy.errors import UsageError
from neurodeploy.lava_dl import load_netx, notices
from tests.netx.files import DATA

SHAPE = (2, 6, 6)
BACKENDS = ("reference", "mapped", "onnx")


def stored(kind: str) -> tuple[CompiledModel, Any]:
    held = np.load(DATA / f"{kind}.npz")
    return load_netx(DATA / f"{kind}.net", held["frames"].shape[1], input_shape=SHAPE), held


@pytest.mark.parametrize("kind", ["conv", "norm", "delay"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_spikes_and_membranes_are_those_of_netx(kind: str, backend: str) -> None:
    if backend == "onnx":
        pytest.importorskip("onnxruntime")
    deployed, held = stored(kind)
    result = deployed.run(held["frames"], backend, "all")
    assert not notices(deployed) and len(result.spikes) == 3
    for place, name in enumerate(deployed.layers):
        assert held[f"s{place}"].any() and (result.spikes[name] == held[f"s{place}"]).all()
        assert (result.membrane[name] == held[f"v{place}"]).all()
    assert (result.logits == held["s2"].sum(axis=1)).all()


def test_without_a_bias_they_are_slayers_too_some_steps_later() -> None:
    """SLAYER hands spikes on a step late, a layer; what comes in after T steps it does not see."""
    for kind, layers in (("conv", 3), ("pool", 3)):
        deployed, held = stored(kind)
        spikes = deployed.run(held["frames"], "reference", "all").spikes[deployed.layers[-1]]
        late = held["slayer"].transpose(0, 2, 1)
        assert late.any() and (late[:, layers:] == spikes[:, :-layers]).all() and not late[:, :layers].any()


def test_the_delays_of_slayer_are_counted_as_slayer_does() -> None:
    held = np.load(DATA / "delay.npz")
    deployed = load_netx(DATA / "delay.net", held["frames"].shape[1], input_shape=SHAPE, semantics="slayer")
    assert (deployed.run(held["frames"], "reference").logits == held["slayer"].sum(axis=2)).all()


def test_what_was_read_is_an_artefact_like_any_other(tmp_path: Path) -> None:
    deployed, held = stored("norm")
    deployed.save(tmp_path / "norm.onnx")
    again = load(tmp_path / "norm.onnx")
    assert (again.run(held["frames"], "reference").logits == held["s2"].sum(axis=1)).all()
    assert json.loads(again.graph.metadata["imported"])["file"] == "norm.net"
    assert deployed.describe()["read_out"].startswith("spikes") and deployed.describe()["classes"] == 5


def test_steps_and_shape_have_to_be_given() -> None:
    with pytest.raises(UsageError, match="--steps"):
        load_netx(DATA / "conv.net")
    with pytest.raises(UsageError, match="input_shape"):
        load_netx(DATA / "conv.net", 4)
