"""The float networks that the benchmark times compute what the authors' form computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("spikingjelly")

from benchmarks.floats import PlainLIF, export, folded  # noqa: E402
from benchmarks.networks import float_logits  # noqa: E402
from neurodeploy.models import FACTORIES, calibrate_norms, spread_norms  # noqa: E402

pytestmark = pytest.mark.torch
NAMES = ("qkformer_mnist", "spikformer_mnist")


def network(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """A small network in float64 whose neurons fire, and images for it."""
    torch.manual_seed(0)
    images = torch.rand(3, 1, 28, 28)
    model = calibrate_norms(spread_norms(FACTORIES[name](), seed=1), images)
    return model.double(), images.double()


@pytest.mark.parametrize("name", NAMES)
def test_without_rounding_a_folded_network_gives_the_same_logits(name: str) -> None:
    model, images = network(name)
    with torch.inference_mode():
        given = folded(model)(images).numpy()
    wanted = float_logits(model, images.numpy())
    assert np.ptp(wanted) > 0
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_folded_network_has_no_norm_and_its_image_is_read_once(name: str) -> None:
    model, _ = network(name)
    kinds = {type(module).__name__ for module in folded(model).modules()}
    assert not any("BatchNorm" in kind or "LIFNode" in kind for kind in kinds)
    assert {"PlainLIF", "Once"} <= kinds
    assert any("BatchNorm" in type(module).__name__ for module in model.modules())


def test_plain_neurons_are_the_equation() -> None:
    currents = torch.tensor([1.0, 3.0, 1.5, -4.0, 9.0])  # membranes 0.5, 1.75, 0.75, -1.625, 3.6875
    assert PlainLIF(2.0, 1.0)(currents[:, None]).ravel().tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("name", NAMES)
def test_the_exported_network_is_plain_onnx(name: str, tmp_path: Path) -> None:
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model, images = network(name)
    single, path = folded(model).float(), tmp_path / "float.onnx"
    with pytest.warns(DeprecationWarning):
        export(single, images.float(), path)
    assert {node.domain for node in onnx.load(path).graph.node} == {""}
    given = runtime.InferenceSession(path).run(None, {"images": images.float().numpy()})[0]
    wanted = float_logits(model.float(), images.float().numpy())
    assert np.corrcoef(given.ravel(), wanted.ravel())[0, 1] > 0.98
