"""How event counts are coded: as they are, within a reach that measured spike errors choose."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.reference import run
from neurodeploy.errors import UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.proof import prove
from neurodeploy.ir.types import Interval
from neurodeploy.quantize import pixels, quantize
from neurodeploy.quantize.codes import HEADROOM, Code, best_code, candidates
from tests.event_frames import as_events, frames
from tests.float_graph import run_float
from tests.traced_graphs import FAMILIES, Sketch, pictures

STEPS = 5


def counts(samples: int = 24, seed: int = 5) -> np.ndarray:
    return frames(samples, STEPS, channels=1, seed=seed)


def network(family: str, seed: int = 2) -> Graph:
    return as_events(FAMILIES[family](seed, steps=STEPS))


def event_choice(graph: Graph) -> dict[str, Any]:
    (found,) = [choice for choice in json.loads(graph.metadata["quantization"]) if choice["kind"] == "events"]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_event_counts_stay_the_integers_that_they_are(family: str) -> None:
    given = counts()
    graph = quantize(network(family), given)
    (encode,) = graph.encoders
    assert (encode.op, encode.number("step"), encode.integer("lo")) == ("encode_events", 1.0, 0)
    assert graph.image_shape == (STEPS, 1, 8, 8)
    choice = event_choice(graph)
    assert choice["clipped"] == (given > encode.integer("hi")).sum() / (given != 0).sum()
    tried = [error for error in choice["tried"].values() if error is not None]
    assert choice["spike_error"] <= HEADROOM * min(tried)
    assert all(bound.holds for bound in prove(graph))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["counts", "fractions", "signed"])
def test_eight_bits_follow_the_float_network_frame_by_frame(family: str, kind: str) -> None:
    traced, given = network(family), counts().astype(np.float32)
    if kind == "fractions":
        given = given / 7 + np.float32(0.01)
    if kind == "signed":
        given = given - frames(24, STEPS, channels=1, seed=6).astype(np.float32)
    graph = quantize(traced, given)
    wanted = run_float(traced, given.swapaxes(0, 1).astype(np.float64))
    found = run(graph, given, "all")
    for name, spikes in found.spikes.items():
        assert (spikes != np.moveaxis(wanted[name], 0, 1)).mean() < 0.06, name
    first = next(iter(found.spikes))
    error = (found.spikes[first] != np.moveaxis(wanted[first], 0, 1)).mean()
    assert error == event_choice(graph)["spike_error"]
    assert np.corrcoef(wanted["readout"][0].ravel(), (found.logits * found.scale).ravel())[0, 1] > 0.97


@pytest.mark.parametrize(
    ("least", "most", "first"),
    [
        (0, 9, "0..255 step 1"),
        (0, 255, "0..255 step 1"),
        (0, 256, "0..255 step 2"),
        (0, 5000, "0..255 step 20"),
        (-1, 127, "-128..127 step 1"),
        (-128, 3, "-128..127 step 2"),
        (-500, 3, "-128..127 step 4"),
    ],
)
def test_integer_steps_alone(least: int, most: int, first: str) -> None:
    codes = candidates(np.array([least, 0, 1, most], np.float32), events=True)
    assert str(codes[0]) == first
    assert all(code.step == int(code.step) for code in codes)
    assert len({str(code) for code in codes}) == len(codes)
    assert {code.bits for code in codes} == {8, 7, 6, 5, 4, 3, 2} | ({1} if least == 0 else set())


def test_counts_of_an_image_that_stays_are_pixels() -> None:
    steps = [code.step for code in candidates(np.array([0, 9], np.float32), events=False)]
    assert steps == [float(np.float32(9 / top)) for top in (255, 127, 63, 31, 15, 7)]


def test_the_widest_reach_among_those_that_err_alike() -> None:
    narrow, wide, bad = (Code(1.0, Interval(0, top), error=error) for top, error in ((7, 0.1), (15, 0.104), (255, 0.2)))
    assert best_code([bad, wide, narrow], events=True) == wide
    assert best_code([bad, wide, narrow], events=False) == narrow
    nothing_fits = [Code(1.0, Interval(0, top), error=float("inf")) for top in (255, 1)]
    assert best_code(nothing_fits, events=True) == nothing_fits[0]


def stretched() -> Graph:
    """A first layer whose current a factor ends: no convolution of the pixels drives a neuron directly."""
    s = Sketch(3)
    s.op("input", "images", shape=(1, 8, 8))
    x = s.op("scale", "half", s.conv("a", "images", (4, 1, 3, 3), padding=1), factor=0.5)
    x = s.op("reduce_mean", "gap", s.lif("a", x), axes=(1, 2), keepdims=0)
    s.op("conv", "head", x, tensors={"weight": np.ones((3, 4))}, stride=(), padding=(), groups=1)
    return s.finish("stretched", 4, "head")


def test_what_is_not_measured_is_not_reported_as_zero() -> None:
    document = quantize(stretched(), pictures(4)).metadata["quantization"]
    (found,) = [choice for choice in json.loads(document) if choice["kind"] == "pixels"]
    assert (found["pixel_bits"], found["spike_error"], found["tried"]) == (8, None, {})


def test_an_error_without_a_scale_is_no_number_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "measured", lambda *_: [Code(1 / 255, Interval(0, 255), error=float("inf"))])
    document = quantize(FAMILIES["qkformer"](0), pictures(4)).metadata["quantization"]
    assert "Infinity" not in document
    (found,) = [choice for choice in json.loads(document) if choice["kind"] == "pixels"]
    assert (found["spike_error"], found["tried"]) == (None, {"8": None})


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((3, 10, 1, 8, 8), "T 5 needed, 10 found: bin the events into 5 frames"),
        ((3, 1, 1, 8, 8), "T 5 needed, 1 found"),
        ((5, 3, 1, 8, 8), "T 5 needed, 3 found.*swapaxes"),
        ((5, 1, 8, 8), "this is one sample: pass frames\\[None\\]"),
        ((3, 1, 8, 8), "the time axis is missing"),
        ((3, 5, 8, 8, 1), "transpose\\(0, 1, 4, 2, 3\\)"),
        ((3, 5, 1, 9, 9), "the network was traced with"),
        ((0, 5, 1, 8, 8), "at least one sample"),
    ],
)
def test_frames_of_another_shape(shape: tuple[int, ...], advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        quantize(network("qkformer"), np.ones(shape, np.uint8))
    with pytest.raises(UsageError, match=advice):
        run(quantize(network("qkformer"), counts(4)), np.ones(shape, np.int64))


def test_frames_without_an_event() -> None:
    with pytest.raises(UsageError, match=r"(?s)ND-Q004.*every value is zero"):
        quantize(network("qkformer"), np.zeros((2, STEPS, 1, 8, 8), np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float64])
def test_counts_of_any_type(dtype: Any) -> None:
    given = counts(4)
    graph = quantize(network("spikformer"), given)
    assert (run(graph, given.astype(dtype)).logits == run(graph, given).logits).all()
