"""The bill of small networks: what it answers, where it stops, and the document that it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.api import CompiledModel
from neurodeploy.errors import DoesNotFitError, Finding, UsageError
from neurodeploy.ir.proof import Bound, symmetric
from neurodeploy.ir.types import Interval
from neurodeploy.mapping import messages
from neurodeploy.mapping.bill import SCHEMA, VERSION, Bill
from neurodeploy.mapping.bill_figures import BASES, STATUSES
from neurodeploy.mapping.bill_neurons import narrow_membranes
from neurodeploy.mapping.bill_papers import papers
from neurodeploy.quantize import quantize
from neurodeploy.targets import available, load_target
from tests.mapping.chips import chip
from tests.traced_graphs import FAMILIES, pictures

ROOT = Path(__file__).parents[2]
OVERHEAD = 'overhead_bits = { value = 8, unit = "bit", source = "a test", status = "datasheet" }'


@pytest.fixture(scope="module", params=FAMILIES)
def deployed(request: pytest.FixtureRequest) -> CompiledModel:
    return CompiledModel(quantize(FAMILIES[request.param](), pictures(8)))


@pytest.fixture(scope="module")
def bill(deployed: CompiledModel) -> Bill:
    return deployed.map("loihi2", pictures(2))


def test_a_small_network_fits_one_chip(bill: Bill) -> None:
    assert (bill.fits, bill.findings) == (True, ())
    assert bill.figure("cores and chips", "chips").value == 1
    assert bill.require_fit() is bill
    assert bill.placement is not None and bill.network is not None
    assert bill.figure("cores and chips", "cores").value == len(bill.placement.cores)


def test_counts_are_those_of_the_mapped_network(deployed: CompiledModel, bill: Bill) -> None:
    mapped = deployed.lower(bill.attention["chosen"])
    wanted = sum(p.size for p in mapped.populations if p.kind != "source")
    assert bill.figure("size", "neurons").value == wanted
    assert bill.figure("pipeline", "depth").value == mapped.depth
    assert bill.figure("pipeline", "latency of the first sample").value == mapped.depth + mapped.steps
    assert sum(layer.neurons for layer in bill.layers if layer.kind != "source") == wanted


def test_every_figure_has_unit_status_and_source(bill: Bill) -> None:
    for figures in bill.sections.values():
        for figure in figures:
            assert figure.unit and figure.source and figure.basis in BASES and figure.status in STATUSES
            assert (figure.value is None) == bool(figure.absent) == (figure.status == "absent"), figure


def test_measured_images_make_measured_figures(deployed: CompiledModel, bill: Bill) -> None:
    bound = deployed.map("loihi2")
    assert (bill.samples, bound.samples) == (2, 0)
    for name in ("neurons that send a step", "synaptic events a step", "messages"):
        seen, most = bill.figure("traffic", name), bound.figure("traffic", name)
        assert (seen.basis, most.basis) == ("measured", "bound")
        assert seen.value is not None and most.value is not None and 0 < seen.value < most.value
    assert bound.figure("papers' convention", "SOPs a sample").absent
    sops = bill.figure("papers' convention", "SOPs a sample").value
    assert sops == pytest.approx(deployed.operations(pictures(2)).sops)


def test_the_bottleneck_is_the_resource_that_is_fullest(bill: Bill) -> None:
    assert bill.bottleneck is not None
    shares = {resource.name: resource.share for resource in bill.resources if resource.share is not None}
    assert shares[bill.bottleneck.name] == max(shares.values())
    assert bill.bottleneck.layer in {layer.name for layer in bill.layers}
    for resource in bill.resources:
        if resource.limit is not None and resource.fullest is not None:
            assert resource.fullest <= resource.limit


def test_constants_that_loihi2_has_not_are_named(bill: Bill) -> None:
    found = bill.figure("energy", "energy a sample")
    assert (found.value, found.status) == (None, "absent")
    assert {"energy.synapse", "time.barrier"} <= set(found.absent)


@pytest.mark.parametrize("target", [name for name in available() if name != "loihi2"])
def test_every_target_is_mapped_or_refused_with_reasons(deployed: CompiledModel, target: str) -> None:
    found = deployed.map(target)
    assert found.fits == (not found.findings)
    assert all(finding.need and finding.have and finding.next for finding in found.findings)
    assert (load_target(target).kind == "cpu") == ("ND-M501" in [f.code for f in found.findings])
    json.dumps(found.as_json(), allow_nan=False)
    if found.findings:
        with pytest.raises(DoesNotFitError):
            found.require_fit()


def test_the_document_has_a_version(bill: Bill) -> None:
    document = json.loads(json.dumps(bill.as_json(), allow_nan=False))
    assert (document["schema"], document["version"]) == (SCHEMA, VERSION)
    assert document["bottleneck"] == (bill.bottleneck.name if bill.bottleneck else None)
    assert [layer["name"] for layer in document["layers"]] == [layer.name for layer in bill.layers]


def test_stages_are_named_as_they_begin(deployed: CompiledModel) -> None:
    said: list[str] = []
    deployed.map("loihi2", progress=said.append)
    assert said[:2] == ["prices of attention", "lower"] and "place" in said


def test_an_analog_crossbar_is_read_and_has_no_chips(deployed: CompiledModel) -> None:
    found = deployed.map("crossbar-128-adc5", pictures(1))
    assert found.fits
    assert found.figure("cores and chips", "chips").absent == ("chip.cores",)
    assert {row["quantity"] for row in found.as_json()["constraints"]} == {"converter", "accumulator"}
    assert "conversions" in found.figure("energy", "synapses").source


def test_membranes_wider_than_the_chips_are_a_finding() -> None:
    wide = Bound("a", "membrane", Interval(-40_000, 10), symmetric(1 << 23), "model.py:3")
    narrow = Bound("b", "membrane", Interval(-100, 100), symmetric(1 << 23))
    (found,) = narrow_membranes(chip("loihi2", neuron__state_bits=16), [wide, narrow])
    assert isinstance(found, Finding) and (found.code, found.layer, found.source) == ("ND-M502", "a", "model.py:3")
    assert list(narrow_membranes(chip("loihi2"), [wide])) == []
    assert list(narrow_membranes(chip("loihi2", neuron__state_bits=17), [wide, narrow])) == []


def test_the_papers_energy_is_a_figure_beside(deployed: CompiledModel) -> None:
    known = deployed.operations(pictures(1))
    _, sops, energy = papers(known)
    assert (sops.value, energy.value, energy.status) == (known.sops, known.energy, "paper")
    assert np.isclose(known.energy or 0.0, energy.value or 0.0)


def test_streamed_attention_takes_a_step_a_token(deployed: CompiledModel) -> None:
    found = deployed.map("loihi2", pictures(1), neurons="custom", attention="stream")
    assert (found.attention["chosen"], found.neurons) == ("stream", "custom")
    assert found.network is not None
    steps = deployed.graph.steps * found.network.period
    assert found.figure("pipeline", "steps a sample").value == steps > deployed.graph.steps
    assert found.figure("traffic", "messages").basis == "bound"  # buses and memories are in no layer of the network
    assert any(layer.custom for layer in found.layers)


def test_streamed_attention_needs_custom_neurons(deployed: CompiledModel) -> None:
    with pytest.raises(UsageError, match="ND-M161"):
        deployed.map("loihi2", attention="stream")


def test_every_alternative_has_a_price_or_a_reason(bill: Bill) -> None:
    rows = bill.as_json()["attention"]["alternatives"]
    assert {row["of"] for row in rows} >= {"attention", "residual"}
    assert all((row["neurons"] is None) == (row["exact"] != "yes") for row in rows)
    (chosen,) = (row for row in rows if row["of"] == "attention" and row["chosen"])
    assert chosen["lowering"] == bill.attention["chosen"]
    assert chosen["neurons"] == min(row["neurons"] for row in rows if row["of"] == "attention" and row["fits"] == "yes")
    assert chosen["neurons"] == bill.figure("size", "neurons").value


def test_messages_of_too_many_axons_are_estimated(deployed: CompiledModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MOST_AXONS", 0)
    found = deployed.map("loihi2", pictures(2))
    assert found.figure("traffic", "messages").basis == "estimated"
    assert "messages from the host" not in [figure.name for figure in found.sections["traffic"]]
    assert found.figure("traffic", "synaptic events a step").basis == "measured"


def test_counts_that_rest_on_an_unknown_overhead_are_assumed(deployed: CompiledModel, tmp_path: Path) -> None:
    words = "at least: synapse.overhead_bits is absent, taken as 0"
    shipped, known = (ROOT / "targets" / "loihi2.toml").read_text(), tmp_path / "known.toml"
    (line,) = re.findall(r"^overhead_bits = .*$", shipped, re.MULTILINE)
    known.write_text(shipped.replace(line, OVERHEAD))
    for target, status in (("loihi2", "assumed"), (known, "datasheet")):
        found = deployed.map(target)
        (memory,) = (resource for resource in found.resources if resource.name == "synapse_memory")
        counts = [memory, *(found.figure("cores and chips", name) for name in ("cores", "chips"))]
        assert [(one.status, words in one.source) for one in counts] == [(status, status == "assumed")] * 3


def test_images_measure_operations_where_nothing_fits_too(deployed: CompiledModel) -> None:
    found = deployed.map("loihi1", pictures(2))
    assert not found.fits
    assert {figure.basis for figure in found.sections["papers' convention"]} & {"measured"}
    wanted = [
        (figure.name, figure.value) for figure in deployed.map("loihi2", pictures(2)).sections["papers' convention"]
    ]
    assert [(figure.name, figure.value) for figure in found.sections["papers' convention"]] == wanted
    assert None not in [value for _, value in wanted]


def test_a_figure_that_there_is_not_is_refused_with_those_there_are(bill: Bill) -> None:
    for words in (("size", "neuron"), ("sizes", "neurons")):
        with pytest.raises(UsageError, match="ND-M503") as error:
            bill.figure(*words)
        assert "neurons" in str(error.value) or "size" in str(error.value)
