"""neurodeploy map: tables for people, one JSON document for programs, exit code 4 where it does not fit."""

from __future__ import annotations

import json
import typing

import pytest

from neurodeploy import api
from neurodeploy.cli.options import ORDERS
from neurodeploy.errors import Finding
from neurodeploy.ir.mapped import AttentionOrder
from neurodeploy.report.mapping import merged
from tests.cli.conftest import Command, Files


def test_the_document_is_the_librarys(call: Command, files: Files) -> None:
    found = call("map", files.artefact, "--target", "loihi2", "--json")
    wanted = api.load(files.artefact).map("loihi2").as_json()
    assert (found.code, found.err) == (0, "")
    assert found.document == json.loads(json.dumps(wanted))


def test_tables_answer_what_was_asked(call: Command, files: Files) -> None:
    found = call("map", files.artefact, "--target", "loihi2", "--images", files.images, "--limit", "2")
    assert found.code == 0
    for words in ("fits", "cores", "chips", "bottleneck", "latency of the first sample", "energy a sample"):
        assert words in found.out
    assert "absent: energy.synapse" in found.out
    assert "measured on 2 samples" in found.out
    assert "every neuron in every step" not in found.out


def test_without_images_bounds_say_so(call: Command, files: Files) -> None:
    found = call("map", files.artefact, "--target", "loihi2")
    assert "no images: spikes, energy and time are bounds" in found.out
    assert "at most" in found.out


def test_all_layers_are_shown_on_request(call: Command, files: Files) -> None:
    layers = [layer.name for layer in api.load(files.artefact).map("loihi2").layers]
    few, every = (call("map", files.artefact, "--target", "loihi2", *more).out for more in ((), ("--layers",)))
    assert [name for name in layers if name not in every] == []
    assert "--layers shows all" in few


def test_what_does_not_fit_ends_with_4_and_all_reasons(call: Command, files: Files) -> None:
    found = call("map", files.artefact, "--target", "loihi1", "--json")
    assert found.code == 4
    assert found.document["fits"] is False
    assert found.document["findings"] == api.load(files.artefact).map("loihi1").as_json()["findings"]
    people = call("map", files.artefact, "--target", "loihi1")
    assert people.code == 4
    assert "next:" in people.err


@pytest.mark.parametrize("words", [("--target", "loihi9"), ("--attention", "none"), ("--neurons", "own")])
def test_wrong_words_are_a_usage_error(call: Command, files: Files, words: tuple[str, ...]) -> None:
    assert call("map", files.artefact, *words).code == 2


def test_the_target_is_the_one_that_the_network_was_compiled_for(call: Command, files: Files) -> None:
    assert call("map", files.artefact, "--json").document["target"] == "loihi2"


def test_orders_are_those_of_the_lowering() -> None:
    assert set(ORDERS) == set(typing.get_args(AttentionOrder))


def test_findings_that_differ_in_numbers_alone_become_one() -> None:
    found = [Finding("ND-M203", f"layer{i}", f"payloads of {i} bits", "8 bits", "another chip") for i in (9, 12, 10)]
    other = Finding("ND-M202", "layer", "lif neurons", "none", "another chip")
    first, second = merged([*found, other])
    assert (first.layer, first.need) == ("layer12", "payloads of 12 bits")
    assert first.have == "8 bits; and so for 2 more, --json has all"
    assert second == other
