"""The public face on hand-written networks: runs, comparisons in slices, evaluations, and the caller's mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy as nd
import neurodeploy.backends.onnx
from neurodeploy import api, compiling
from neurodeploy.backends import result
from neurodeploy.backends.reference import run
from neurodeploy.backends.result import RunResult
from neurodeploy.errors import EnvironmentMissingError, InvalidFileError, UsageError
from neurodeploy.ir.text import to_text
from neurodeploy.quantize import quantize
from tests.traced_graphs import FAMILIES, pictures

SAMPLES = 10


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> nd.CompiledModel:
    return nd.CompiledModel(quantize(FAMILIES[request.param](), pictures(8)))


@pytest.fixture(scope="module")
def images() -> Any:
    return pictures(SAMPLES)


def test_public_names_are_functions_whatever_was_imported_before() -> None:
    """A subpackage of the same name would hide a function of the package."""
    assert [name for name in nd.__all__ if not callable(getattr(nd, name)) and name != "__version__"] == []


def test_save_and_load_keep_the_graph(model: nd.CompiledModel, tmp_path: Path) -> None:
    model.save(tmp_path / "m.onnx")
    assert to_text(nd.load(tmp_path / "m.onnx").graph) == to_text(model.graph)


def test_bounds_hold_and_are_described(model: nd.CompiledModel) -> None:
    document = model.describe()
    assert all(bound.holds for bound in model.bounds)
    assert [b["layer"] for b in document["bounds"]] == [bound.layer for bound in model.bounds]
    assert document["mapped"]["neurons_by_kind"]["lif"] >= document["neurons"]


@pytest.mark.parametrize("backend", ["reference", "mapped", "onnx"])
def test_run_is_the_backends_run(model: nd.CompiledModel, images: Any, backend: str) -> None:
    wanted = run(model.graph, images, "all")
    found = model.run(images, backend, "all")
    assert (found.backend, set(found.spikes)) == (backend, set(model.layers))
    assert (found.logits == wanted.logits).all()


def test_compare_in_slices_counts_every_sample(
    model: nd.CompiledModel, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "SLICE", 4)
    seen: list[tuple[int, int]] = []
    found = nd.compare(model, images, ("reference", "onnx"), progress=lambda *at: seen.append(at))
    assert found.equal
    assert found.samples == SAMPLES
    assert found.values["logits"] == SAMPLES * 3
    assert seen == sorted(seen)
    assert {(8, 2 * SAMPLES), (16, 2 * SAMPLES), (2 * SAMPLES, 2 * SAMPLES)} <= set(seen)


def test_divergence_in_a_later_slice_has_the_samples_own_number(
    model: nd.CompiledModel, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = neurodeploy.backends.onnx.run, [0]

    def broken(*arguments: Any, **options: Any) -> RunResult:
        result, calls[0] = real(*arguments, **options), calls[0] + 1
        if calls[0] != 2:
            return result
        membrane = {name: array.copy() for name, array in result.membrane.items()}
        membrane[model.layers[-1]][1, 2] += 1
        return replace(result, membrane=membrane)

    monkeypatch.setattr(neurodeploy.backends.onnx, "run", broken)
    monkeypatch.setattr(result, "SLICE", 4)
    found = nd.compare(model, images, ("reference", "onnx")).divergence
    assert found is not None
    assert (found.sample, found.step, found.layer, found.quantity) == (5, 2, model.layers[-1], "membrane")
    assert calls == [2]  # nothing runs after a slice that differs


def test_slices_shrink_so_that_probes_fit_the_memory(model: nd.CompiledModel, monkeypatch: pytest.MonkeyPatch) -> None:
    neurons = model.describe(mapped=False)["neurons"]
    sample = neurons * model.graph.steps * result.PROBE_BYTES
    monkeypatch.setattr(result, "MEMORY", 3 * sample)
    assert result.slice_size(model.graph, "all") == 3
    assert result.slice_size(model.graph, "none") == result.SLICE
    monkeypatch.setattr(result, "MEMORY", 1)
    assert result.slice_size(model.graph, "all") == 1


@pytest.mark.parametrize("rate_samples", [0, 3, 99])
def test_evaluate(model: nd.CompiledModel, images: Any, rate_samples: int) -> None:
    wanted = model.run(images, probes="all")
    seen: list[tuple[int, int]] = []
    progress = {"progress": lambda *at: seen.append(at)}
    found = nd.evaluate(model, images, wanted.classes, backend="reference", rate_samples=rate_samples, **progress)
    watched = min(rate_samples, SAMPLES)
    rates = {name: spikes[:watched].mean() for name, spikes in wanted.spikes.items()} if watched else {}
    assert (found.integer_accuracy, found.samples, found.rate_samples) == (100.0, SAMPLES, watched)
    assert found.firing_rate == pytest.approx(rates)
    assert seen[-1] == (SAMPLES, SAMPLES)
    assert seen == sorted(seen)


def test_float_model_of_the_evaluation(model: nd.CompiledModel, images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The float logits are the integer ones with one sample's class changed."""
    result = model.run(images)
    logits = result.logits * result.scale
    logits[2] = -logits[2]

    class Frontend:
        @staticmethod
        def run_float(
            network: object, given: Any, batch: int = 0, progress: Any = None, as_written: bool = False, steps: Any = 1
        ) -> Any:
            assert (network, steps) == ("the model", None)
            assert len(given) == len(images)
            assert as_written == (batch == 4)
            if progress:
                progress(len(given), len(given))
            return -logits if as_written else logits

    ticks: list[tuple[int, int]] = []
    monkeypatch.setattr(api, "frontend", lambda: Frontend)
    found = nd.evaluate(model, images, result.classes, "the model", "reference")
    assert (found.float_accuracy, found.drop, found.agreement) == (90.0, -10.0, 90.0)
    assert found.float_batch_accuracy is None
    found = nd.evaluate(
        model,
        images,
        result.classes,
        "the model",
        "reference",
        float_batch=4,
        progress=lambda *tick: ticks.append(tick),
    )
    assert (found.float_accuracy, found.float_batch, found.float_batch_accuracy) == (90.0, 4, 10.0)
    assert ticks[-1] == (30, 30)


@pytest.mark.parametrize(("network", "batch"), [(None, 4), ("the model", 0)])
def test_float_batches_need_a_model_and_a_size(model: nd.CompiledModel, images: Any, network: Any, batch: int) -> None:
    with pytest.raises(UsageError, match="ND-C025"):
        nd.evaluate(model, images, np.zeros(len(images), int), network, float_batch=batch)


def without_calibration(calibration: object) -> None:
    nd.compile(None, np.zeros((1, 1, 8, 8), np.float32), calibration=calibration)


@pytest.mark.parametrize(
    ("calibration", "code"),
    [
        (np.zeros((0, 1, 8, 8), np.float32), "ND-B004"),
        (np.zeros((4, 1, 9, 8), np.float32), "ND-B003"),
        (np.zeros((1, 8, 8), np.float32), "ND-B003"),
        (np.full((2, 1, 8, 8), np.nan, np.float32), "ND-B005"),
        (np.full((2, 1, 8, 8), np.inf, np.float32), "ND-B005"),
        (["a"], "ND-B002"),
        (None, "ND-B002"),
    ],
)
def test_bad_calibration_is_named(calibration: object, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        without_calibration(calibration)
    assert (code, "calibration") in [(f.code, f.layer) for f in caught.value.findings]


def test_mistakes_of_the_caller(model: nd.CompiledModel, images: Any, tmp_path: Path) -> None:
    example = np.zeros((1, 1, 8, 8), np.float32)
    mistakes = [
        lambda: model.run(images, "gpu"),
        lambda: model.run(images[:, :, :4]),
        lambda: nd.compare(model, images, ("reference",)),
        lambda: nd.compare(model, images, ("reference", "reference")),
        lambda: nd.compare(model, images, ("reference", "gpu")),
        lambda: nd.evaluate(model, images, np.zeros(3, int)),
        lambda: nd.compile(None, example, "loihi9", calibration=images),
        lambda: nd.compile(None, example, calibration=images, weight_bits=9),
        lambda: model.save(tmp_path / "no" / "folder.onnx"),
    ]
    for mistake in mistakes:
        with pytest.raises(UsageError) as caught:
            mistake()
        assert all(f.code and f.need and f.have and f.next for f in caught.value.findings)
    with pytest.raises(InvalidFileError):
        nd.load(tmp_path / "missing.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_torch_the_error_names_it(images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(compiling, "import_module", missing)
    with pytest.raises(EnvironmentMissingError, match="torch"):
        nd.compile(None, images[:1], calibration=images)


@pytest.mark.lava
def test_lava_equals_the_reference_in_both_orders(model: nd.CompiledModel, images: Any) -> None:
    for attention in ("kv", "qk"):
        options = {"lava": {"attention": attention, "timeout": 120.0}}
        found = nd.compare(model, images[:2], ("reference", "lava"), options=options)
        assert found.equal
        assert found.samples == 2


@pytest.mark.parametrize("order", ["qk", "kv"])
def test_the_order_of_attention_is_an_option(model: nd.CompiledModel, images: Any, order: str) -> None:
    options = {"attention": order}
    found = model.run(images[:2], "mapped", **options)
    assert np.array_equal(found.logits, model.run(images[:2], "reference").logits)
    assert options == {"attention": order}


def test_the_mapped_network_is_compared_like_any_backend(model: nd.CompiledModel, images: Any) -> None:
    seen: list[tuple[int, int]] = []
    found = nd.compare(model, images[:3], ("reference", "mapped"), progress=lambda done, of: seen.append((done, of)))
    assert found.require_equal().samples == 3
    assert str(found).startswith("reference == mapped: 3 samples") and str(found).endswith(", 0 differences")
    assert seen[-1] == (6, 6)


@pytest.mark.parametrize(
    "example", [None, [1.0], pictures(1)[0], pictures(1)[None, None]], ids=["none", "list", "3d", "6d"]
)
def test_the_example_is_blamed_for_itself(example: Any) -> None:
    with pytest.raises(UsageError) as caught:
        nd.compile(None, example, calibration=pictures(4))
    assert [(f.code, f.layer) for f in caught.value.findings] == [("ND-C023", "example_input")]


def test_rate_samples_cannot_be_negative(model: nd.CompiledModel, images: Any) -> None:
    with pytest.raises(UsageError) as caught:
        nd.evaluate(model, images, np.zeros(SAMPLES, np.int64), rate_samples=-1)
    assert [f.code for f in caught.value.findings] == ["ND-C024"]


def test_pixels_beyond_the_code_are_counted(model: nd.CompiledModel, images: Any) -> None:
    low, high = model.pixel_range
    assert low == 0 and 0.9 < high < 1.1
    assert model.clipped_share(images) == 0
    assert model.clipped_share(images * np.float32(255)) > 0.9


def test_a_model_prints_in_a_line(model: nd.CompiledModel) -> None:
    assert "\n" not in repr(model) and f"T={model.graph.steps}" in repr(model) and len(repr(model)) < 100
