"""What findings say to do next names options that there are, and a compiled network tells what a chip has not."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from neurodeploy import api
from neurodeploy.cli.compile import compile_
from neurodeploy.cli.map import map_
from neurodeploy.maps import narrower_widths
from neurodeploy.quantize import quantize
from neurodeploy.targets import available
from tests.traced_graphs import FAMILIES, pictures

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=FAMILIES)
def deployed(request: pytest.FixtureRequest) -> api.CompiledModel:
    return api.CompiledModel(quantize(FAMILIES[request.param](), pictures(8)))


def _options() -> set[str]:
    given = [one for command in (compile_, map_) for one in command.params if isinstance(one, click.Option)]
    return {word for one in given for word in one.opts} | {"--target"}


@pytest.mark.parametrize("target", available())
def test_remedies_name_options_that_there_are(target: str, deployed: api.CompiledModel) -> None:
    findings = deployed.map(target).findings
    named = {word for finding in findings for word in re.findall(r"--[a-z-]+", finding.next)}
    assert named <= _options()
    assert all(finding.next for finding in findings)


def test_chips_as_wide_as_the_profile_need_no_word(deployed: api.CompiledModel) -> None:
    assert [narrower_widths(deployed, target) for target in ("loihi2", "loihi1", "cpu")] == [[], [], []]


def test_narrower_membranes_and_weights_are_told(deployed: api.CompiledModel, tmp_path: Path) -> None:
    assert all("TrueNorth holds membranes of 20 bits" in said for said in narrower_widths(deployed, "truenorth"))
    text, mine = (ROOT / "targets" / "loihi2.toml").read_text(), tmp_path / "mine.toml"
    mine.write_text(text.replace("[synapse]\nweight_bits = { value = 8", "[synapse]\nweight_bits = { value = 4"))
    assert narrower_widths(deployed, mine) == ["weights of 8 bits, Intel Loihi 2 holds 4"]
    head, tail = text.split("[neuron]")
    mine.write_text(f"{head}[neuron]{tail.replace('state_bits = { value = 24', 'state_bits = { value = 12', 1)}")
    (said,) = narrower_widths(deployed, mine)
    assert said.startswith("membranes of ") and "Intel Loihi 2 holds membranes of 12 bits" in said
