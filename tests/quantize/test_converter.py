"""Convolutions on currents: the code that neurons make of one, and the float run that tells how far it reaches."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neurodeploy.backends import reference
from neurodeploy.numerics import PROFILES, Profile
from neurodeploy.quantize import QuantizeOptions, fold_batchnorm, quantize
from neurodeploy.quantize.converter import BITS
from neurodeploy.quantize.floats import reaches
from tests.float_graph import run_float
from tests.shortcut_graphs import SHORTCUTS, coded
from tests.traced_graphs import FAMILIES, pictures


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda p: p.name)
@pytest.mark.parametrize("seed", range(3))
def test_the_code_follows_the_float_current(seed: int, profile: Profile) -> None:
    traced, images = coded(seed), pictures(16)
    graph = quantize(traced, images, QuantizeOptions(profile=profile))
    spikes = reference.run(graph, images, "all").spikes
    code = sum(spikes[f"mlp0.add.bit{bit}"].astype(np.int64) << bit for bit in range(BITS))
    (entry,) = [choice for choice in json.loads(graph.metadata["quantization"]) if choice["kind"] == "code"]
    given = code * entry["step"]
    wanted = np.moveaxis(run_float(traced, images.astype(np.float64))["mlp0.add"], 0, 1)
    shifted = given - np.median(given - wanted, axis=(0, 1, 3), keepdims=True)  # each channel has an offset of its own
    assert np.median(np.abs(shifted - wanted)) < entry["step"]
    assert code.min() > 0 and code.max() < 255  # a quarter more than the calibration reaches: nothing saturates


@pytest.mark.parametrize("family", [*FAMILIES, *SHORTCUTS])
def test_reaches_are_those_of_the_float_network(family: str) -> None:
    traced, images = fold_batchnorm({**FAMILIES, **SHORTCUTS}[family](2)), pictures(3)
    values = run_float(traced, images.astype(np.float64))
    names = {node.name for node in traced.nodes if node.op not in ("input", "time_mean")}
    found = reaches(traced, names, images)
    assert set(found) == names
    for name, (low, high) in found.items():
        axes = (0, 1, *range(3, values[name].ndim))
        assert np.allclose(low, values[name].min(axis=axes), rtol=0, atol=1e-9), name
        assert np.allclose(high, values[name].max(axis=axes), rtol=0, atol=1e-9), name
