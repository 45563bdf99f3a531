"""A network that only the CPU backends hold: it is described, runs, and the chip says what is too wide."""

from __future__ import annotations

import pytest

from neurodeploy.api import CompiledModel
from neurodeploy.errors import DoesNotFitError
from neurodeploy.numerics import INT32
from neurodeploy.quantize import QuantizeOptions, quantize
from neurodeploy.report import text
from tests.shortcut_graphs import sdt
from tests.traced_graphs import pictures


@pytest.fixture(scope="module")
def deployed() -> CompiledModel:
    return CompiledModel(quantize(sdt(), pictures(4), QuantizeOptions(profile=INT32)))


def test_description_says_why_it_is_on_no_chip(deployed: CompiledModel) -> None:
    document = deployed.describe()
    reasons = document["mapped"]["refused"]
    assert any(reason.startswith("embed.0_lif: membrane in ") for reason in reasons)
    assert "mapped" not in deployed.describe(mapped=False)
    assert text.network_table(document)


def test_the_cpu_runs_it_and_the_chip_refuses(deployed: CompiledModel) -> None:
    images = pictures(2, seed=5)
    assert (deployed.run(images, backend="reference").logits == deployed.run(images, backend="onnx").logits).all()
    with pytest.raises(DoesNotFitError, match=r"embed\.0_lif"):
        deployed.run(images, backend="mapped")
