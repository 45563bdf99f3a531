"""The page says what was measured, needs nothing else, and takes no orders from a model's names."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import api, pages
from neurodeploy.errors import EnvironmentMissingError, LimitExceededError, UsageError
from neurodeploy.report.page import render
from tests.report.page_content import FEW, LABELS, SAMPLES, SECTIONS, Read, deployed, renamed
from tests.traced_graphs import FAMILIES, pictures

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}{% raw %}</style></svg><!--"
OBEYED = "\u202egnp.exe\x07\x1b[2J"  # turns the direction of text, or is no part of HTML


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> api.CompiledModel:
    return deployed(request.param)


@pytest.fixture(scope="module")
def html(model: api.CompiledModel) -> str:
    return model.report(pictures(SAMPLES), LABELS, **FEW)


@pytest.fixture(scope="module")
def read(html: str) -> Read:
    return Read(html)


def test_every_section_has_content(read: Read) -> None:
    assert [held["id"] for held in read.of("section")] == list(SECTIONS)
    assert [held["class"] for held in read.of("p") if held.get("class") == "reason"] == []
    assert min(len(read.text[name].strip()) for name in SECTIONS) > 200


def test_the_document_is_well_formed_and_ids_are_unique(read: Read) -> None:
    ids = [held["id"] for _, held in read.elements if "id" in held]
    targets = {held["href"][1:] for _, held in read.elements if held.get("href", "").startswith("#")}
    named = {name for _, held in read.elements for name in held.get("aria-labelledby", "").split()}
    assert read.unbalanced == []
    assert sorted(set(ids)) == sorted(ids)
    assert (targets | named) - set(ids) == set()


def test_the_page_loads_nothing(html: str, read: Read) -> None:
    links = [held[key] for _, held in read.elements for key in ("href", "src", "srcset", "action") if key in held]
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert {tag for tag, _ in read.elements} & {"script", "iframe", "object", "embed", "base", "form"} == set()
    assert re.findall(r"https?:|@import|url\((?!#)", html) == []
    policy = next(held["content"] for held in read.of("meta") if held.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_every_svg_has_a_label_or_stands_beside_its_text(read: Read) -> None:
    drawings = read.of("svg")
    mute = [h for h in drawings if h.get("aria-hidden") != "true" and h.get("role") != "img"]
    bare = [h for h in drawings if h.get("role") == "img" and not (h.get("aria-label") or h.get("aria-labelledby"))]
    assert len(drawings) > 20
    assert (mute, bare) == ([], [])


def test_the_same_input_gives_the_same_page(model: api.CompiledModel, html: str) -> None:
    assert api.CompiledModel(model.graph).report(pictures(SAMPLES), LABELS, **FEW) == html
    dated = model.report(pictures(SAMPLES), LABELS, **FEW, date="22 November 2026")
    assert dated.replace(", 22 November 2026", "") == html


def test_the_figures_are_those_of_the_library(model: api.CompiledModel, html: str, read: Read) -> None:
    found = api.evaluate(model, pictures(SAMPLES), LABELS, backend="onnx")
    bill = model.map("loihi2")
    assert f"{found.integer_accuracy:.2f} %" in read.text["summary"]
    assert f"{model.describe(mapped=False)['neurons']:,}" in read.text["summary"]
    assert f"Cores{bill.figure('cores and chips', 'cores').value}" in re.sub(r"\s", "", read.text["summary"])
    rates = api.evaluate(model, pictures(SAMPLES)[list(pages.spread(SAMPLES, 6))], LABELS[:6], backend="reference")
    for name, rate in rates.firing_rate.items():
        assert re.search(rf">{re.escape(name)}</th><td class=\"right\">{rate:.4f}<", html), name
    counts = {(int(a), int(b)) for a, b in zip(LABELS, model.run(pictures(SAMPLES)).classes, strict=True)}
    assert len(re.findall(r'class="entry"[^>]*style=', html)) == len(counts)


def test_hostile_names_are_text() -> None:
    tiny = deployed().graph
    graph = replace(renamed(tiny, lambda name: f"{HOSTILE}.{name}"), name=HOSTILE + OBEYED)
    read = Read(api.CompiledModel(graph).report(pictures(SAMPLES), LABELS, **FEW))
    assert {tag for tag, _ in read.elements} & {"script", "raw"} == set()
    assert len(read.of("style")) == 1
    assert read.unbalanced == []
    assert f"{HOSTILE}\ufffdgnp.exe\ufffd\ufffd[2J" in read.text["summary"]
    assert read.text["rates"].count(f"{HOSTILE}.tssa.q_lif") == 1
    assert not any(sign in text for sign in "\u202e\x07\x1b" for text in read.text.values())


def test_without_labels_the_reason_stands_there() -> None:
    read = Read(deployed().report(pictures(SAMPLES), **FEW))
    assert [held["id"] for held in read.of("section")] == list(SECTIONS)
    assert "No labels were given" in read.text["accuracy"]
    assert "not known: no labels" in read.text["summary"]


def test_what_does_not_fit_says_why() -> None:
    read = Read(deployed().report(pictures(SAMPLES), LABELS, target="dynapcnn-speck2f", **FEW))
    findings = deployed().map("dynapcnn-speck2f").findings
    assert findings
    for finding in findings:
        assert all(part in read.text["chip"] for part in (finding.code, finding.layer, finding.need, finding.have))
    assert "No cores are drawn" in read.text["chip"]


def test_one_backend_is_not_compared() -> None:
    read = Read(deployed().report(pictures(SAMPLES), LABELS, **{**FEW, "backends": ("reference",)}))
    assert "not compared: fewer than two backends" in read.text["summary"]


@pytest.mark.parametrize(
    ("choices", "codes"),
    [
        ({"observe": 3}, ["ND-P012"]),
        ({"shown": 0, "compared": -1}, ["ND-P013", "ND-P013"]),
        ({"float_model": object()}, ["ND-P014"]),
    ],
)
def test_choices_that_cannot_be_followed(choices: dict[str, object], codes: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        deployed().report(pictures(2), **choices)
    assert [finding.code for finding in raised.value.findings] == codes


def test_without_jinja2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(EnvironmentMissingError, match=r"neurodeploy\[report\]"):
        deployed().report(pictures(2), **FEW)


def test_a_page_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "MOST_BYTES", 1000)
    with pytest.raises(LimitExceededError, match="at most 1,000 bytes"):
        deployed().report(pictures(2), **FEW)


def test_samples_are_evenly_spread() -> None:
    assert pages.spread(10, 2) == (2, 7)
    assert pages.spread(3, 8) == (0, 1, 2)
    assert all(len(set(pages.spread(n, k))) == min(n, k) for n in range(1, 40) for k in range(1, 12))


def test_templates_are_part_of_the_package() -> None:
    folder = Path(render.__file__).parents[1] / "templates"
    assert {f"section_{name}.html.j2" for name in SECTIONS} <= {path.name for path in folder.iterdir()}


def test_event_frames_have_a_page() -> None:
    from neurodeploy.quantize import quantize
    from tests.event_frames import as_events, frames

    graph = quantize(as_events(FAMILIES["qkformer"](steps=4)), np.asarray(frames(8, 4, channels=1), np.float32))
    read = Read(api.CompiledModel(graph).report(frames(6, 4, channels=1), **FEW))
    assert "event frames" in read.text["summary"]
    assert len(read.text["raster"]) > 200
