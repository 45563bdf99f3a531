"""The shipped networks on ADC crossbars: every integer is the reference's where no read can clip."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import neurodeploy as nd
from neurodeploy.api import load_model

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
CHECKPOINTS = EXAMPLES / "checkpoints"
DIGITS = 6
SAFE = {"crossbar-128-adc5": {}, "crossbar-isaac": {"active_rows": "all"}}  # flipped columns need no split rows


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("name", ["qkformer_mnist", "spikformer_mnist"])
def test_shipped_networks_with_the_constraint_met(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "data", raising=False)
    from data import digits

    images = digits().images[:: 5000 // DIGITS][:DIGITS]
    calibration = np.load(CHECKPOINTS / "calibration_mnist.npz")["images"]
    model = load_model(f"neurodeploy.models:{name}", CHECKPOINTS / f"{name}.pth")
    deployed = nd.compile(model, calibration[:1], calibration=calibration)
    for target, own in SAFE.items():
        options = {"crossbar": {"target": target, **own}}
        found = nd.compare(deployed, images, ("reference", "crossbar"), options=options)
        assert found.equal, str(found)
        assert found.values["membranes"] > 100_000
