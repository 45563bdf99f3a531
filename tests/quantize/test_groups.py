"""Threshold groups: the best partition of channels, its widths, and the graph that all executors run alike."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends import native, onnx, reference
from neurodeploy.backends.reference.mapped import run_mapped
from neurodeploy.ir.artefact import from_bytes, serialise
from neurodeploy.ir.proof import prove
from neurodeploy.ir.types import BINARY, BYTE
from neurodeploy.mapping import lower
from neurodeploy.numerics import LOIHI_LAVA
from neurodeploy.quantize import QuantizeOptions, quantize
from neurodeploy.quantize.groups import _partitions, choose_groups
from neurodeploy.quantize.scales import Current
from tests.traced_graphs import FAMILIES, pictures

PLAIN = {"rounding": "nearest", "scale": "weight", "bias_correction": False}


def current(spread: float, rows: int = 8) -> Current:
    """Channels of which the second half has weights `spread` times as large."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, (rows, 12)) * np.repeat([1.0, spread], rows // 2)[:, None]
    return Current(weight, np.zeros(rows), BINARY, 0.5, 1.0)


def test_channels_of_two_sizes_make_two_groups() -> None:
    found = choose_groups(current(8.0), 4, 2, LOIHI_LAVA, 4)
    assert found is not None and found.count == 2
    assert len(set(found.vth[:4])) == len(set(found.vth[4:])) == 1 and found.vth[0] > 3 * found.vth[4]
    assert found.error < 0.5 * found.single


def test_one_group_where_another_gains_too_little() -> None:
    alike = Current(np.tile(current(1.0).weight[:1], (8, 1)), np.zeros(8), BINARY, 0.5, 1.0)
    found = choose_groups(alike, 4, 4, LOIHI_LAVA, 4)
    assert found is not None and found.count == 1 and found.error == found.single


@pytest.mark.parametrize("seed", range(5))
def test_partitions_are_the_best_of_all_cuts(seed: int) -> None:
    errors = np.random.default_rng(seed).random((6, 5))
    order = np.argsort(errors.argmin(axis=1), kind="stable")
    for count, (chosen, error) in enumerate(_partitions(errors, 3), start=1):
        ends = [c for c in product(range(1, 7), repeat=count - 1) if list(c) == sorted(set(c)) and 6 not in c]
        best = min(
            sum(errors[order[a:b]].sum(axis=0).min() for a, b in zip((0, *cut), (*cut, 6), strict=True)) for cut in ends
        )
        assert error == pytest.approx(best) and errors[np.arange(6), chosen].sum() == pytest.approx(best)


@pytest.mark.parametrize("bits", [2, 4])
def test_wide_axons_stay_in_their_widths(bits: int) -> None:
    """Thresholds that would push sums beyond 17 bits are no candidates."""
    wide = Current(current(4.0).weight, np.full(8, 0.3), BYTE, 0.5, 1.0)
    found = choose_groups(wide, bits, 4, LOIHI_LAVA, 4)
    assert found is not None
    units = (wide.threshold / found.vth)[:, None]
    top = (1 << (bits - 1)) - 1
    sums = np.abs(np.clip(np.rint(wide.weight / units), -top, top)).sum(axis=1) * 255
    assert sums.max() <= LOIHI_LAVA.activation_max


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("how", [PLAIN, {}], ids=["weights", "samples"])
def test_grouped_networks_run_alike_everywhere(family: str, how: dict[str, Any]) -> None:
    images = pictures(6)
    graph = quantize(FAMILIES[family](1), images, QuantizeOptions(weight_bits=3, threshold_groups=4, **how))
    assert all(bound.holds for bound in prove(graph))
    graph = from_bytes(serialise(graph))
    wanted = reference.run(graph, images[:2], "all")
    for found in (native.run(graph, images[:2], "all"), onnx.run(graph, images[:2], "all")):
        assert (found.logits == wanted.logits).all()
        assert all((found.membrane[name] == values).all() for name, values in wanted.membrane.items())
    mapped = lower(graph)
    found = run_mapped(mapped, images[:1], "all")
    assert (found.logits == wanted.logits[:1]).all()
    for name, spikes in wanted.spikes.items():
        assert (found.spikes[name] == spikes[:1]).all() and (found.membrane[name] == wanted.membrane[name][:1]).all()


def test_weights_make_groups_in_these_networks() -> None:
    """The networks of the test above would prove nothing without."""
    options = QuantizeOptions(weight_bits=3, threshold_groups=4, **PLAIN)
    graphs = [quantize(FAMILIES[family](1), pictures(6), options) for family in FAMILIES]
    assert all(any("thresholds" in node.tensors for node in graph.of("lif")) for graph in graphs)
