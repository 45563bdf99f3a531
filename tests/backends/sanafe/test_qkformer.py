"""The shipped QKFormer in SANA-FE, with its weights, on the middle of digits: spikes, events and energy beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import api
from neurodeploy.errors import UsageError
from neurodeploy.exports import export_sanafe
from neurodeploy.mapping import lower
from tests.backends.sanafe.networks import figure, run_folder, spikes_of

pytestmark = [pytest.mark.slow, pytest.mark.torch]

ROOT = Path(__file__).parents[3]
CHECKPOINTS = ROOT / "examples" / "checkpoints"
PIXELS = 8  # SANA-FE takes 1 to 2 kB a synapse; at 28x28 the network has 15 million
SAMPLES = 2


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target of one's own: Loihi 2 with the energies and times of Loihi 1, as those of Loihi 2 are not published."""
    one, two = ((ROOT / "targets" / f"loihi{i}.toml").read_text() for i in (1, 2))
    file = tmp_path_factory.mktemp("target") / "priced.toml"
    file.write_text(two[: two.index("[energy]")].replace('"loihi2"', '"priced"', 1) + one[one.index("[energy]") :])
    return file


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    start = (28 - PIXELS) // 2
    images = np.load(CHECKPOINTS / "calibration_mnist.npz")["images"]
    return np.ascontiguousarray(images[:, :, start : start + PIXELS, start : start + PIXELS], np.float32)


@pytest.fixture(scope="module")
def deployed(digits: np.ndarray) -> api.CompiledModel:
    name = f"neurodeploy.models:qkformer_mnist(image_size={PIXELS})"
    model = api.load_model(name, CHECKPOINTS / "qkformer_mnist.pth")
    return api.compile(model, digits[:1], "loihi2", calibration=digits)


@pytest.mark.parametrize(("residual", "most"), [("graded", 0.75), ("spikes", 0.1)])
def test_spikes_events_and_energy(
    residual: Any,
    most: float,
    deployed: api.CompiledModel,
    digits: np.ndarray,
    priced: Path,
    sanafe_python: Path,
    tmp_path: Path,
) -> None:
    """most: the share of LIFs and steps in which the host may add to what SANA-FE's own spikes bring."""
    images = digits[:SAMPLES]
    folder = export_sanafe(deployed, tmp_path / "net", priced, residual=residual, images=images)
    found, document = run_folder(sanafe_python, folder, images)
    wanted = deployed.run(images, "reference", "all")
    bill = deployed.map(priced, images, residual=residual, sanafe=folder / "sanafe.json")
    graph = lower(deployed.graph, bill.attention["chosen"], residual=residual)
    assert np.array_equal(found["logits"], wanted.logits)
    assert len(wanted.spikes) == len(deployed.layers)
    for layer, spikes in wanted.spikes.items():
        assert np.array_equal(spikes_of(graph, found, layer), spikes), layer
    assert document["host"]["changed"]["lif"] < most * document["host"]["of"]["lif"]
    events = bill.figure("traffic", "synaptic events a step").value
    assert figure(document, "synaptic events")["value"] == pytest.approx(events * graph.steps, rel=1e-12)
    for name in ("synapses", "neurons", "messages"):
        ours = bill.figure("energy", name)
        assert figure(document, name)["value"] == pytest.approx(ours.value, rel=1e-9)
        assert figure(document, name)["status"] == ours.status == "paper"
    assert figure(document, "time a step, mean")["value"] > bill.figure("pipeline", "time a step").value / 2
    assert bill.second is not None and bill.second.same_images and bill.second.same_cores
    ratios = {row.name: row.ratio for row in bill.second.rows}
    alike = ("energy a sample", "synapses", "neurons", "messages", "synaptic events", "messages sent")
    assert [ratios[name] for name in alike] == [pytest.approx(1, rel=1e-9)] * len(alike)
    with pytest.raises(UsageError, match="figures on"):
        deployed.map("loihi2", images, residual=residual, sanafe=folder / "sanafe.json")
