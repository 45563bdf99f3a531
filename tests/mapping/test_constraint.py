"""The spike-count constraint: each way to meet it, its refusals, and its numbers against plain recounts."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from neurodeploy.errors import DoesNotFitError
from neurodeploy.ir.chip import Axis, Box, ChipNetwork, Cut, Filters, Grid, Nest, Neurons, Synapses, Tile
from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.samples import random_graph
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.mapping.constraint import Constraint, constraints, measure_of
from neurodeploy.mapping.constraint_widths import accumulator, axons_within, rows_within, sums_of
from neurodeploy.mapping.structure import AtMost, structure_of
from neurodeploy.mapping.symbolic import lower
from neurodeploy.mapping.tile_inputs import Input, weight_bits_of
from neurodeploy.mapping.tiles import tile
from neurodeploy.targets import Target, load_target
from tests.ir.test_chip import listed
from tests.mapping.chips import chip, inside, taken, tiles

ADC5 = "crossbar-128-adc5"
FORGETS = 4095


def dense(weight: np.ndarray, name: str = "s", source: str = "in", target: str = "out", exponent: int = 0) -> Synapses:
    """A linear layer of weights [outputs, inputs]."""
    out, inner = weight.shape
    nest = Nest((Axis(out, 1, 0), Axis(inner, 0, 1)), 0, 0, weight.astype(np.int64), exponent)
    return Synapses(name, source, target, nest, (inner,), (out,))


def layer(weight: np.ndarray, sent: Interval = BINARY) -> ChipNetwork:
    neurons = (
        Neurons("in", "source", (weight.shape[1],), 0, sent),
        Neurons("out", "lif", (weight.shape[0],), 1, BINARY, vth=1, value="layer"),
    )
    return ChipNetwork("net", "loihi-lava", 4, neurons, (dense(weight),), "out")


def converters(network: ChipNetwork, target: Target, **options: object) -> tuple[Constraint, ...]:
    found = constraints(tile(network, target), target, **options)  # type: ignore[arg-type]
    return tuple(one for one in found if one.quantity == "converter")


def cells(weight: np.ndarray, bits: int = 8, cell: int = 2) -> np.ndarray:
    """Levels [slices, outputs, inputs] of weights that are held with an offset."""
    stored = weight.astype(int) + (1 << (bits - 1))
    return np.stack([(stored >> shift) & ((1 << cell) - 1) for shift in range(0, bits, cell)])


def test_few_rows_are_safe_at_worst() -> None:
    weight = np.full((4, 10), 127)
    (one,) = converters(layer(weight), load_target(ADC5))
    assert (one.how, one.rows, one.bound, one.reads) == ("worst case", 10, 10, 1)
    assert one.layer == "layer" and one.tiles == 1
    assert cells(weight).sum(axis=2).max() <= 31


@pytest.mark.parametrize("rows", [11, 40, 128, 300])
def test_more_rows_are_read_in_turns(rows: int) -> None:
    found = converters(layer(np.full((4, rows), 127)), load_target(ADC5))
    assert sum(one.tiles for one in found) == -(-rows // 128)
    for one in found:
        assert one.how == "rows split" and one.limit == 10
        assert one.reads == -(-one.rows // 10)
        assert one.parts == -(-rows // 128)


def test_small_weights_allow_more_rows() -> None:
    """Weights of 2 bits are held as 0 to 3, ones as 3 and minus ones as 1: 31 // 3 and 31 rows."""
    assert converters(layer(np.ones((4, 31))), load_target(ADC5))[0].limit == 10
    assert converters(layer(-np.ones((4, 31))), load_target(ADC5))[0].limit == 31
    assert converters(layer(-np.ones((4, 31))), load_target(ADC5))[0].how == "worst case"


@pytest.mark.parametrize("seed", range(20))
def test_the_limit_is_the_largest_number_of_any_rows_that_fits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-128, 128, (3, 12)) >> int(rng.integers(0, 7))
    weight[0, 0] = -128  # all eight bits
    target = chip(ADC5, adc__bits=int(rng.integers(3, 6)), neuron__product=True)
    (one,) = converters(layer(weight), target)
    top, held = (1 << target.adc_bits) - 1, cells(weight)
    worst = [max(held[..., list(c)].sum(axis=2).max() for c in combinations(range(12), n)) for n in range(1, 13)]
    fits = sum(sums <= top for sums in worst)
    assert min(one.limit, 12) == min(fits, top, 12)


def test_a_chip_that_cannot_add_refuses_with_the_numbers() -> None:
    target = chip(ADC5, synapse__adds_partial_sums=False)
    with pytest.raises(DoesNotFitError) as caught:
        converters(layer(np.full((4, 40), 127)), target)
    (finding,) = caught.value.findings
    assert finding.code == "ND-M210" and finding.layer == "out"
    assert "40 rows" in finding.need and "at most 10" in finding.have


def test_a_one_hot_source_is_safe_by_structure() -> None:
    network = layer(np.full((4, 40), 127))
    (one,) = converters(network, load_target(ADC5), given={"in": (AtMost(0, 3),)})
    assert (one.how, one.bound, one.reads) == ("structure", 3, 1)
    (other,) = converters(network, load_target(ADC5), given={"in": (AtMost(0, 11),)})
    assert other.how == "rows split"


def gated(kind: str) -> ChipNetwork:
    """A source, a mask of its own, spikes that the mask gates or inhibits, and a layer that reads mask and spikes."""
    wide, depth = (12,), {"in": 0, "mask": 0, "gate": 1, "out": 2}
    identity = lambda name, source, target, w: Synapses(  # noqa: E731
        name, source, target, Nest((Axis(12, 1, 1),), 0, 0, np.array(w)), wide, wide
    )
    neurons = (
        Neurons("in", "source", wide, depth["in"], BINARY),
        Neurons("mask", "source", wide, depth["mask"], BINARY),
        Neurons("gate", "lif", wide, depth["gate"], BINARY, vth=kind == "and", dv=FORGETS),
        Neurons("out", "lif", (4,), depth["out"], BINARY, vth=1),
    )
    synapses = (
        identity("a", "in", "gate", 1),
        identity("b", "mask", "gate", 1 if kind == "and" else -1),
        dense(np.full((4, 12), 127), "c", "gate"),
        dense(np.full((4, 12), 127), "d", "mask"),
    )
    return ChipNetwork("net", "loihi-lava", 4, neurons, synapses, "out")


def test_what_a_mask_inhibits_is_never_active_with_it() -> None:
    network = gated("inhibit")
    assert structure_of(network).apart == {frozenset(("mask", "gate"))}
    found = {one.population: one for one in converters(network, chip(ADC5, adc__bits=6))}
    assert found["out"].rows == 24 and found["out"].limit == 21
    assert (found["out"].bound, found["out"].how) == (12, "structure")
    assert {one.how for one in converters(gated("and"), chip(ADC5, adc__bits=6))} == {"rows split"}


def test_a_gate_is_as_sparse_as_what_it_gates() -> None:
    given = {"in": (AtMost(0, 2),)}
    assert structure_of(gated("and"), given).most["gate"] == given["in"]
    assert structure_of(gated("inhibit"), given).most["gate"] == given["in"]


@pytest.mark.parametrize("change", [{"vth": 0}, {"dv": 2048}, {"du": 4095}, {"bias": "channel"}, {"resets": True}])
def test_what_may_fire_for_itself_inherits_nothing(change: dict[str, object]) -> None:
    """A gate that either side opens, or one that remembers, can be active without what it gates."""
    network = gated("and")
    neurons = tuple(replace(n, **change) if n.name == "gate" else n for n in network.neurons)  # type: ignore[arg-type]
    found = structure_of(replace(network, neurons=neurons), {"in": (AtMost(0, 2),)})
    assert not found.most.get("gate") and not found.apart


def test_facts_hold_when_the_network_runs() -> None:
    """Every step of random spikes keeps to what the structure says."""
    rng = np.random.default_rng(0)
    spikes, mask = rng.integers(0, 2, (500, 12)), rng.integers(0, 2, (500, 12))
    spikes[np.cumsum(spikes, axis=1) > 2] = 0
    for kind, out in (("and", spikes + mask > 1), ("inhibit", spikes - mask > 0)):
        facts = structure_of(gated(kind), {"in": (AtMost(0, 2),)})
        assert all(out.sum(axis=1).max() <= fact.count for fact in facts.most["gate"])
        assert not (facts.apart and (out & (mask > 0)).any())


def test_sums_beyond_the_accumulator_are_refused_with_the_numbers() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        constraints(tile(layer(np.full((2, 2000), 100)), load_target("loihi2")), load_target("loihi2"))
    (finding,) = caught.value.findings
    assert finding.code == "ND-M211" and finding.layer == "out"
    assert "2000 axons in 0..200000" in finding.need and "at most 1310 axons" in finding.have


def test_a_sum_that_the_graph_bounds_is_safe_by_structure() -> None:
    """Synapses alone say more than a population of sums was proven to send."""
    network = layer(np.full((2, 2000), 100), Interval(0, 1 << 10))
    neurons = (network.neurons[0], Neurons("out", "sum", (2,), 1, Interval(0, 1 << 20)))
    network = replace(network, neurons=neurons)
    (one,) = constraints(tile(network, load_target("loihi2")), load_target("loihi2"))
    assert (one.how, one.sums) == ("structure", Interval(0, 1 << 20))


@pytest.mark.parametrize("start", range(0, 40, 8))
def test_sums_are_those_of_the_listed_synapses(start: int) -> None:
    """The worst case from patterns is at least that of the synapses listed, and that where no neuron lacks a tap."""
    for seed in range(start, start + 8):
        network = lower(remove_dead(random_graph(seed)))
        for neurons in network.neurons:
            own = [s for s in network.inputs(neurons.name) if s.port in ("a_in", "a_in1")]
            if not own or sum(s.count for s in own) > 5000:
                continue
            high, low = np.zeros(neurons.size, int), np.zeros(neurons.size, int)
            for s in own:
                sent = network.by_name[s.source].interval
                for to, _, weight, _ in listed(s.pattern):
                    high[to] += max(weight * sent.lo, weight * sent.hi, 0)
                    low[to] += min(weight * sent.lo, weight * sent.hi, 0)
            found = sums_of(own, network)
            assert found.hi >= high.max(initial=0) and found.lo <= low.min(initial=0)
            whole = [isinstance(s.pattern, Nest) or not any(s.pattern.padding) for s in own]
            if len(own) == 1 and all(whole) and own[0].count:
                assert (found.hi, found.lo) == (high.max(), low.min())


@pytest.mark.parametrize("seed", range(10))
def test_axons_within_a_width(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-20, 21, (1, 9))
    network, width = layer(weight, Interval(-1, 3)), Interval(-40, 40)
    found = axons_within(network.synapses, network, width)
    ends = [(min(-w, 3 * w), max(-w, 3 * w)) for w in weight[0].tolist()]
    worst = [
        max(sum(sorted(side)[-n:]) for side in ([b for _, b in ends], [-a for a, _ in ends])) for n in range(1, 10)
    ]
    assert found == sum(one <= 40 for one in worst)


def test_rows_within_takes_the_highest_levels_first() -> None:
    tails = np.array([[9, 5, 2, 1], [9, 9, 0, 0]])  # levels 3, 2, 1, 1, 1 and nine ones
    assert rows_within(tails, 5) == 2 + 0 + 0
    assert rows_within(tails, 6) == 3
    assert rows_within(tails[1:], 8) == 8
    assert rows_within(tails, 9) > 9


def test_the_accumulator_is_the_narrower_of_profile_and_chip() -> None:
    network = layer(np.ones((2, 3)))
    lif = network.by_name["out"]
    assert accumulator(lif, network, load_target("loihi2")) == Interval(-131071, 131071)
    assert accumulator(lif, network, chip("loihi2", neuron__state_bits=10)) == Interval(-511, 511)


def test_a_convolution_takes_its_places_in_turns() -> None:
    """96 input channels, 3 x 3: 864 rows in 7 parts, read 10 rows at a time, place by place."""
    weight = np.where(np.arange(864) % 2, -127, 127).reshape(1, 96, 3, 3).repeat(30, axis=0)
    size, grid = (8, 8), Grid(64, 8, 1)
    filters = Filters(weight, (1, 1), (1, 1), 1, size, size, grid, grid)
    neurons = (Neurons("in", "source", (96, 8, 8), 0, Interval(0, 2)), Neurons("out", "lif", (30, 8, 8), 1, BINARY))
    synapses = (Synapses("s", "in", "out", filters, (96, 8, 8), (30, 8, 8)),)
    network = ChipNetwork("net", "loihi-lava", 4, neurons, synapses, "out")
    found = converters(network, load_target(ADC5))
    assert sum(one.rows * one.tiles for one in found) == 864
    assert {(one.parts, one.planes, one.places, one.limit) for one in found} == {(7, 2, 64, 10)}
    assert {(one.rows, one.reads) for one in found} <= {(123, 13), (124, 13)}
    box = tile(network, load_target(ADC5)).cuts["out"].classes[0].example.box
    assert box == Box((0, 0, 0), (30, 8, 8))


def levels_of(cut: Cut, one: Tile, target: Target) -> np.ndarray:
    """Levels [rows, slices * columns] of the cells of a tile, filled synapse by synapse; weights with an offset."""
    measure, mask = measure_of(cut), inside(cut, one)
    inputs = [s for s in measure.plan.view.inputs if s.rows]
    bits = max(weight_bits_of(s.synapses) for s in inputs)
    weights: dict[tuple[object, int], int] = {}
    rows, columns = {}, {}
    for number, given in enumerate(inputs):
        start, stop = given.piece(one.part, cut.parts)
        known = {(to, of): w for to, of, w, _ in listed(given.synapses.pattern)}
        for to, of, chunk, _ in taken(given):
            if mask[to] and start <= chunk < stop:
                place = np.unravel_index(to, measure.plan.view.shape)
                column = tuple(int(p) for axis, p in enumerate(place) if axis in measure.plan.channels)
                row = (number, group_of(given, place, chunk) if given.turns else of)
                rows.setdefault(row, len(rows))
                columns.setdefault(column, len(columns))
                weights[rows[row], columns[column]] = known[to, of] >> getattr(given.synapses.pattern, "exponent", 0)
    table = np.zeros((len(rows), len(columns)), int)
    for at, weight in weights.items():
        table[at] = weight
    return cells(table.T, bits).transpose(2, 0, 1).reshape(len(rows), -1) if table.size else np.zeros((0, 1), int)


def group_of(given: Input, place: tuple[np.intp, ...], chunk: int) -> tuple[object, ...]:
    """A row of a layer's matrix: a chunk of the fan-in of one group of channels."""
    axes = zip(given.factors.axes, place, strict=True)
    return (chunk, *(int(axis.source[axis.coordinate == p][0]) for axis, p in axes if axis.channel))


@pytest.mark.parametrize("start", range(0, 60, 10))
def test_no_read_can_clip(start: int) -> None:
    """On random chips: any rows within the limit stay within the converter, in every column of every tile."""
    looked = 0
    for seed in range(start, start + 10):
        network, rng = lower(remove_dead(random_graph(seed))), np.random.default_rng(seed)
        if sum(s.count for s in network.synapses) > 3000:
            continue
        limits = {"crossbar__rows": int(rng.integers(16, 80)), "adc__bits": int(rng.integers(3, 8))}
        target = chip(ADC5, synapse__shares_weights=bool(rng.integers(2)), **limits)
        try:
            tiling = tile(network, target)
            found = constraints(tiling, target)
        except DoesNotFitError:
            continue
        for one in (one for one in found if one.quantity == "converter"):
            assert one.how == "rows split" or one.bound <= one.limit
            assert one.reads * one.limit >= one.bound
        for cut in tiling.cuts.values():
            own = [one for one in found if one.population == cut.population and one.quantity == "converter"]
            for t in tiles(cut) if own and cut.count < 30 else ():
                sums = np.sort(levels_of(cut, t, target), axis=0)[::-1][: own[0].limit].sum(axis=0)
                assert sums.max(initial=0) <= (1 << target.adc_bits) - 1
                assert min(own[0].limit, cut.use(t).rows) <= (1 << target.adc_bits) - 1
                looked += 1
    assert looked


def two_exponents(exponent: int) -> ChipNetwork:
    """Two layers of weights of 4 bits into one population, the second times 2^exponent."""
    network = layer(np.full((4, 10), 7))
    beside = Neurons("beside", "source", (10,), 0, BINARY)
    second = dense(np.full((4, 10), 7), "second", "beside", exponent=exponent)
    return replace(network, neurons=(beside, *network.neurons), synapses=(*network.synapses, second))


@pytest.mark.parametrize(("exponent", "columns"), [(0, 2), (1, 3), (4, 4)])
def test_a_column_that_adds_two_exponents_is_as_wide_as_both(exponent: int, columns: int) -> None:
    network, target = two_exponents(exponent), load_target(ADC5)
    tiling = tile(network, target)
    assert tiling.cuts["out"].classes[0].use.columns == 4 * columns
    both = np.concatenate([np.full((4, 10), 7), np.full((4, 10), 7) << exponent], axis=1)
    (one,) = (c for c in constraints(tiling, target) if c.quantity == "converter")
    sums = np.sort(cells(both, 4 + exponent), axis=2)[..., ::-1][..., : one.limit].sum(axis=2)
    assert one.limit == 10 and sums.max() <= 31


def test_exponents_too_far_apart_for_any_cells() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        tile(two_exponents(5), load_target(ADC5))
    (finding,) = caught.value.findings
    assert finding.code == "ND-M207" and "9 bits" in finding.need
