"""Random networks times random limits: each tile recounted synapse by synapse, within limits, nothing twice or lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.errors import DoesNotFitError
from neurodeploy.ir.chip import Tiling
from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.samples import random_graph
from neurodeploy.mapping.symbolic import lower
from neurodeploy.mapping.tiles import tile
from neurodeploy.targets import Target
from tests.ir.test_chip import listed
from tests.mapping.chips import chip, inside, recount, taken, tiles

SEEDS, CHUNK = 60, 6
MOST_SYNAPSES = 6000


def random_target(rng: np.random.Generator) -> Target:
    """Limits that are tight for networks of some hundred neurons."""
    if rng.integers(2):
        limits = {
            "core__neurons": int(rng.integers(3, 80)),
            "core__axons_in": int(rng.integers(20, 200)) if rng.integers(2) else None,
            "core__axons_out": int(rng.integers(60, 400)) if rng.integers(2) else None,
            "core__synapse_memory": int(rng.integers(40, 800)),
            "synapse__shares_weights": bool(rng.integers(2)),
            "synapse__adds_partial_sums": bool(rng.integers(2)),
            "synapse__any_width": bool(rng.integers(2)),
            "synapse__overhead_bits": int(rng.integers(0, 12)),
        }
        return chip("loihi2", **limits)
    analog = ("crossbar-128-adc5", "truenorth")[int(rng.integers(4) == 0)]
    able = {f"neuron__{kind}": True for kind in ("lif", "sum", "relu", "product")}
    limits = {
        "crossbar__rows": int(rng.integers(16, 80)),
        "crossbar__columns": int(rng.integers(8, 64)),
        "neuron__payload_bits": 24,
        "synapse__shares_weights": bool(rng.integers(2)),
        "synapse__adds_partial_sums": bool(rng.integers(4)),
    }
    return chip(analog, **able, **limits)


def check(tiling: Tiling, target: Target) -> None:
    for cut in tiling.cuts.values():
        uses = {t: cut.use(t) for t in tiles(cut)}
        assert len(uses) == cut.count
        for one, use in uses.items():
            found = recount(cut, one, tiling, target)
            assert use.axons_out >= found.axons_out
            if not all(output.exact for output in cut.measure.plan.outputs):
                found = replace(found, axons_out=use.axons_out)
            assert use == found, one
            for name, used in use.items():
                limit = target.limit(name)
                assert limit is None or used <= limit, (name, used, limit)
        assert Counter(uses.values()) == Counter({c.use: c.count for c in cut.classes})
        assert all(cut.use(c.example) == c.use for c in cut.classes)
        check_covered(tiling, cut.population)


def check_covered(tiling: Tiling, population: str) -> None:
    """Every neuron in one box, every synapse in one tile."""
    cut = tiling.cuts[population]
    boxes = np.sum([inside(cut, t) for t in tiles(cut) if t.part == 0], axis=0)
    assert (boxes == 1).all()
    for one in cut.measure.plan.view.inputs:
        parts = [range(*one.piece(part, cut.parts)) for part in range(cut.parts)]
        assert [chunk for part in parts for chunk in part] == list(range(one.chunks))
        found = taken(one)
        assert {t[2] for t in found} <= set(range(one.chunks))
        assert sorted(t[:2] for t in found) == sorted((to, of) for to, of, *_ in listed(one.synapses.pattern))


@pytest.mark.parametrize("start", range(0, SEEDS, CHUNK))
def test_random_networks_on_random_chips(start: int) -> None:
    fitted = 0
    for seed in range(start, start + CHUNK):
        network = lower(remove_dead(random_graph(seed)))
        if sum(s.count for s in network.synapses) > MOST_SYNAPSES:
            continue
        rng = np.random.default_rng(seed)
        for _ in range(3):
            target = random_target(rng)
            try:
                tiling = tile(network, target)
            except DoesNotFitError as error:
                assert all(f.code.startswith("ND-M2") and f.have and f.next for f in error.findings)
                continue
            fitted += 1
            check(tiling, target)
    assert fitted
