"""All rules of a placed network, checked from the patterns anew: it shares no code with the tiler and the placer.

What tiles say they use is held against a recount of their synapses, and both against the limits of their core.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, VerifyError
from neurodeploy.ir.chip import Cut, Neurons, Placement, Shape, Synapses, Tile, Use
from neurodeploy.ir.placement_active import sums_beyond
from neurodeploy.ir.placement_needs import Recounts
from neurodeploy.ir.placement_recount import Counted
from neurodeploy.ir.types import Interval
from neurodeploy.targets import Target

COVER, BOXES, HELD, LIMITS, PAYLOADS, PLACES = (f"ND-M4{i:02d}" for i in range(1, 7))
CHIPS, SHARING, SPREAD, TOTALS, SUMS = (f"ND-M4{i:02d}" for i in range(7, 12))
NEXT = "this is a bug of the mapping: report it with the model"
CORE = ("neurons", "axons_in", "axons_out", "synapses", "synapse_memory", "rows", "columns", "active_rows")
Place = tuple[str, Shape]  # of a box: population, index


def check_placement(placement: Placement, target: Target, proven: Mapping[str, Interval] | None = None) -> Placement:
    """The placement, if it breaks no rule. Raises VerifyError with every broken one.

    proven: layer of the quantized graph -> what its neurons receive at worst, by the interval proof.

    ND-M401 a neuron on no core or on several; ND-M402 a tile that is no box of its grid; ND-M403 synapses, axons,
    memory or active rows that are not what the tiles say; ND-M404 a core beyond a limit; ND-M405 payloads wider than
    the chip's spikes; ND-M406 a core off the mesh, or two in one place; ND-M407 chips, or what they hold; ND-M408
    tiles that may not share a core; ND-M409 a core whose spikes go to too many; ND-M410 totals that are not those of
    the cores; ND-M411 sums beyond a neuron's accumulator.
    """
    found = [*_payloads(placement, target), *_sums(placement, target, proven or {}), *_chips(placement, target)]
    placed = bool(placement.cores) or not placement.note
    found += _Placed(placement, target).findings() if placed else _Counted(placement, target).findings()
    if found:
        raise VerifyError(found)
    return placement


def _finding(code: str, layer: str, need: str, have: object) -> Finding:
    return Finding(code, layer, need, str(have), NEXT)


def _payloads(placement: Placement, target: Target) -> Iterator[Finding]:
    bits = target.graded
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if bits else (0, 1)
    for neurons in placement.tiling.network.neurons:
        if neurons.interval.lo < low or neurons.interval.hi > high:
            yield _finding(PAYLOADS, neurons.name, f"payloads in {low}..{high}", neurons.interval)


def _sums(placement: Placement, target: Target, proven: Mapping[str, Interval]) -> Iterator[Finding]:
    network = placement.tiling.network
    for neurons in network.neurons:
        beyond = sums_beyond(neurons, network, target, proven)
        if beyond is not None:
            yield _finding(SUMS, neurons.name, f"sums of at most {beyond[1]} of either sign", beyond[0])


def _active(tile: Tile, use: Use, recounts: Recounts) -> Iterator[Finding]:
    """Whether a tile says as many active rows as its converters can read of its rows."""
    need = recounts.readable(use.rows)
    if use.active_rows != need:
        where = f"{need} active rows of {use.rows} in box {tile.index}, part {tile.part}"
        yield _finding(HELD, tile.population, where, use.active_rows)


def _chips(placement: Placement, target: Target) -> Iterator[Finding]:
    most, cores = target.limit("chips"), target.limit("cores")
    if most is not None and placement.chips > most:
        yield _finding(CHIPS, "", f"at most {most} chips", placement.chips)
    if cores is not None and placement.used_cores > placement.chips * cores:
        yield _finding(CHIPS, "", f"at most {cores} cores a chip", f"{placement.used_cores} on {placement.chips}")


class _Placed:
    """A placement with coordinates."""

    def __init__(self, placement: Placement, target: Target) -> None:
        self.placement, self.target = placement, target
        self.network, self.cuts = placement.tiling.network, placement.tiling.cuts
        self.recounts = Recounts(placement, target)
        self.tiles = [tile for core in placement.cores for tile in core]

    @cached_property
    def declared(self) -> Mapping[Tile, Use]:
        """What each tile says that it uses."""
        return {t: self.cuts[t.population].use(t) for t in set(self.tiles) if t.population in self.cuts}

    def findings(self) -> Iterator[Finding]:
        """Every broken rule; what tiles need is recounted only where they are the boxes of their grids."""
        own = [*self._boxes(), *self._cover()]
        yield from own
        yield from self._places()
        yield from self._sharing()
        yield from self._totals()
        if not own:
            yield from self._held()
            yield from self._limits()
            yield from self._chip_totals()
            yield from self._spread()

    def _boxes(self) -> Iterator[Finding]:
        for tile in self.tiles:
            cut = self.cuts.get(tile.population)
            if cut is None:
                yield _finding(BOXES, tile.population, "a population that is cut into tiles", "none of this name")
                continue
            start = tuple(i * s for i, s in zip(tile.index, cut.step, strict=True))
            stop = tuple(min(a + s, n) for a, s, n in zip(start, cut.step, cut.shape, strict=True))
            if (tile.box.start, tile.box.stop) != (start, stop) or not 0 <= tile.part < cut.parts:
                need = f"box {start} to {stop} at place {tile.index}, a part below {cut.parts}"
                yield _finding(BOXES, tile.population, need, f"{tile.box}, part {tile.part}")

    def _cover(self) -> Iterator[Finding]:
        """Each part of the fan-in of each neuron, and so each synapse, on one core."""
        held: dict[tuple[str, int], list[Tile]] = {}
        for tile in self.tiles:
            held.setdefault((tile.population, tile.part), []).append(tile)
        for neurons in self.network.neurons:
            cut = self.cuts.get(neurons.name)
            if cut is None and neurons.kind != "source":
                yield _finding(COVER, neurons.name, f"{neurons.size} neurons on cores", "none")
            for part in range(cut.parts if cut else 0):
                times = np.zeros(neurons.shape, np.int16)
                for tile in held.get((neurons.name, part), ()):
                    times[tuple(slice(a, b) for a, b in zip(tile.box.start, tile.box.stop, strict=True))] += 1
                none, several = int((times == 0).sum()), int((times > 1).sum())
                if none or several:
                    need = "each neuron" + (f", part {part} of its fan-in," if cut and cut.parts > 1 else "") + " once"
                    yield _finding(COVER, neurons.name, need, f"{none} on no core, {several} on several")

    def _places(self) -> Iterator[Finding]:
        placement, target = self.placement, self.target
        cores, each = target.limit("cores"), target.cores_a_router or 1
        lengths = (len(placement.cores), len(placement.at), len(placement.slots))
        if len(set(lengths)) > 1:
            yield _finding(PLACES, "", "a place and a slot for each core", lengths)
        for at, count in Counter(placement.at).items():
            if count > each:
                yield _finding(PLACES, "", f"at most {each} cores at a router", f"{count} at {at}")
        chips = [at[0] for at in placement.at]
        for slot, count in Counter(zip(chips, placement.slots, strict=False)).items():
            if count > 1 or not 0 <= slot[1] < (cores or 1):
                yield _finding(PLACES, "", f"a slot of its own below {cores}", f"{count} cores in slot {slot}")
        wide, high = target.mesh or (None, None)
        for (_, x, y), own in zip(placement.at, placement.slots, strict=False):
            if wide and high and not (0 <= x < wide and 0 <= y < high and y * wide + x == own // each):
                yield _finding(PLACES, "", f"slot {own} at its router of {wide} x {high}", f"({x}, {y})")

    def _sharing(self) -> Iterator[Finding]:
        kinds = [kind for kind in ("convolution", "adc") if kind in self.target.facts]
        for core, tiles in zip(self.placement.at, self.placement.cores, strict=False):
            if not tiles or (kinds and len(tiles) > 1):
                yield _finding(
                    SHARING, "", "one tile in a core" if kinds else "a tile in each core", f"{core}: {len(tiles)}"
                )

    def _totals(self) -> Iterator[Finding]:
        """The summary of the placement: uses of cores, and chips."""
        known = [[self.declared[t] for t in core if t in self.declared] for core in self.placement.cores]
        uses = Counter(_joined(core) for core in known)
        told = Counter({tuple(dict(use.items()).values()): count for use, count in self.placement.classes})
        if uses != told:
            yield _finding(
                TOTALS, "", "classes that are those of the cores", f"{len(uses)} against {len(told)} that differ"
            )
        chips = {at[0] for at in self.placement.at}
        if chips != set(range(self.placement.chips)):
            yield _finding(TOTALS, "", f"chips 0 to {self.placement.chips - 1}", sorted(chips))

    @cached_property
    def _reached(self) -> Mapping[str, NDArray[np.int64]]:
        """Population -> axons out of each of its boxes: pairs of a neuron and a box that it has synapses to."""
        found = {name: np.zeros(prod(cut.counts), np.int64) for name, cut in self.cuts.items()}
        for synapses in self.network.synapses:
            counted = self.recounts.counted(synapses)
            if counted is not None and synapses.source in found:
                found[synapses.source] += counted.reached
        return found

    @cached_property
    def _needs(self) -> Mapping[Place, dict[str, int]]:
        """What all parts of each box need together."""
        found = {}
        for name, cut in self.cuts.items():
            inputs = self.recounts.inputs(name)
            for at, index in enumerate(np.ndindex(cut.counts)):
                out = {"axons_out": int(self._reached[name][at])}
                found[name, index] = self.recounts.needs(cut, index, inputs) | out
        return found

    def _held(self) -> Iterator[Finding]:
        """What the parts of each box say, together, against the recount."""
        told: dict[Place, Counter[str]] = {}
        for tile, use in self.declared.items():
            told.setdefault((tile.population, tile.index), Counter()).update(dict(use.items()))
        for (name, index), needs in self._needs.items():
            parts, said = self.cuts[name].parts, told[name, index]
            for resource, need in needs.items():
                exact = resource == "synapses"
                if said[resource] != need if exact else said[resource] < need:
                    what = f"{'' if exact else 'at least '}{need} {resource} in box {index}, over {parts} parts"
                    yield _finding(HELD, name, what, said[resource])
        for tile, use in self.declared.items():
            yield from _active(tile, use, self.recounts)

    def _limits(self) -> Iterator[Finding]:
        limits = {name: (self.target.limits(name), self.target.limit(name)) for name in CORE}
        for at, slot, tiles in zip(self.placement.at, self.placement.slots, self.placement.cores, strict=False):
            for resource, used in self._used(tiles).items():
                each, limit = limits[resource]
                limit = each[slot % len(each)] if each else limit
                if limit is not None and used > limit:
                    names = ", ".join(sorted({tile.population for tile in tiles}))
                    yield _finding(LIMITS, names, f"at most {limit} {resource} in core {at}", used)

    def _used(self, tiles: tuple[Tile, ...]) -> dict[str, int]:
        """What a core uses: the larger of what its tiles say and what they need, where a box is one tile."""
        said = dict(zip(CORE, _joined([self.declared[tile] for tile in tiles]), strict=True))
        whole = [self._needs[t.population, t.index] for t in tiles if self.cuts[t.population].parts == 1]
        return {name: max(n, sum(needs.get(name, 0) for needs in whole)) for name, n in said.items()}

    def _chip_totals(self) -> Iterator[Finding]:
        counted = ["neurons"] + ["synapses"] * (not self.target.flag("synapse", "shares_weights"))
        used: Counter[tuple[int, str]] = Counter()
        for at, tiles in zip(self.placement.at, self.placement.cores, strict=False):
            for tile in tiles:
                used.update({(at[0], name): getattr(self.declared[tile], name) for name in counted})
        for (chip, name), total in used.items():
            most = self.target.number("chip", name)
            if most is not None and total > most:
                yield _finding(CHIPS, "", f"at most {most} {name} on chip {chip}", total)

    def _spread(self) -> Iterator[Finding]:
        """Cores whose spikes go to more cores than the chip allows."""
        most = self.target.limit("destinations")
        if most is None:
            return
        core = {(t.population, t.index): i for i, tiles in enumerate(self.placement.cores) for t in tiles}
        reached: dict[int, set[int]] = {}
        for synapses in self.network.synapses:
            counted = self.recounts.counted(synapses)
            if counted is None or synapses.source not in self.cuts:
                continue
            for sender, receiver in zip(*counted.links.tolist(), strict=True):
                ends = [(synapses.source, sender), (synapses.target, receiver)]
                a, b = (core[name, _index(at, self.cuts[name])] for name, at in ends)
                reached.setdefault(a, set()).add(b)
        for sender, cores in reached.items():
            if len(cores - {sender}) > most:
                yield _finding(SPREAD, "", f"spikes that go to at most {most} cores", f"core {sender}: {len(cores)}")


def _index(flat: int, cut: Cut) -> Shape:
    return tuple(int(i) for i in np.unravel_index(flat, cut.counts))


def _joined(uses: list[Use]) -> tuple[int, ...]:
    """What tiles in one core use together; active rows are each array's own."""
    rows = [dict(use.items()) for use in uses]
    return tuple((max if name == "active_rows" else sum)([row[name] for row in rows] or [0]) for name in CORE)


class _Counted:
    """A placement without coordinates: classes of tiles, classes of cores."""

    def __init__(self, placement: Placement, target: Target) -> None:
        self.placement, self.target = placement, target
        self.cuts, self.network = placement.tiling.cuts, placement.tiling.network
        self.recounts = Recounts(placement, target)

    def findings(self) -> Iterator[Finding]:
        """Every broken rule; of equal tiles, the box of one is recounted."""
        for neurons in self.network.neurons:
            yield from self._population(neurons)
        for use, _ in self.placement.classes:
            for resource, used in use.items():
                limit = self.target.limit(resource)
                if limit is not None and used > limit:
                    yield _finding(LIMITS, "", f"at most {limit} {resource} in a core", used)
        yield from self._sums()

    def _population(self, neurons: Neurons) -> Iterator[Finding]:
        cut = self.cuts.get(neurons.name)
        if cut is None:
            if neurons.kind != "source":
                yield _finding(COVER, neurons.name, f"{neurons.size} neurons on cores", "none")
            return
        boxes = prod(-(-n // s) for n, s in zip(neurons.shape, cut.step, strict=True)) * cut.parts
        if sum(c.count for c in cut.classes) != boxes:
            yield _finding(COVER, neurons.name, f"{boxes} tiles", sum(c.count for c in cut.classes))
        yield from self._whole(cut)
        for one in cut.classes:
            yield from _active(one.example, one.use, self.recounts)
        inputs = self.recounts.inputs(neurons.name, tuple(c.example.index for c in cut.classes))
        for index in dict.fromkeys(c.example.index for c in cut.classes):
            yield from self._box(cut, index, inputs)

    def _whole(self, cut: Cut) -> Iterator[Finding]:
        """What the classes say, each as often as it is counted, against all that the population has."""
        said = Counter[str]()
        for one in cut.classes:
            said.update({name: n * one.count for name, n in one.use.items()})
        for resource, need in self.recounts.whole(cut).items():
            exact = resource in ("neurons", "synapses")
            if said[resource] != need if exact else said[resource] < need:
                what = f"{'' if exact else 'at least '}{need} {resource} in all tiles"
                yield _finding(HELD, cut.population, what, said[resource])

    def _box(self, cut: Cut, index: Shape, inputs: list[tuple[Synapses, Counted]]) -> Iterator[Finding]:
        """The parts of a box together against the recount, and each among the classes."""
        uses = [cut.use(cut.tile(index, part)) for part in range(cut.parts)]
        if not {c.use for c in cut.classes}.issuperset(uses):
            yield _finding(HELD, cut.population, f"the uses of box {index} among the classes", "another use")
        said = dict(zip(CORE, _joined(uses), strict=True))
        for resource, need in self.recounts.needs(cut, index, inputs).items():
            if said[resource] != need if resource == "synapses" else said[resource] < need:
                yield _finding(HELD, cut.population, f"{need} {resource} in box {index}", said[resource])

    def _sums(self) -> Iterator[Finding]:
        """What the tiles use is what the cores use, resource by resource."""
        tiles, cores = Counter[str](), Counter[str]()
        for one in (c for cut in self.cuts.values() for c in cut.classes):
            tiles.update({name: n * one.count for name, n in one.use.items()})
        for use, count in self.placement.classes:
            cores.update({name: n * count for name, n in use.items()})
        for name in CORE:
            if name != "active_rows" and tiles[name] != cores[name]:
                yield _finding(TOTALS, "", f"{tiles[name]} {name} over all cores", cores[name])
        fullest = [max((use.active_rows for use in uses), default=0) for uses in self._uses()]
        if fullest[0] != fullest[1]:
            yield _finding(TOTALS, "", f"{fullest[0]} active rows in the fullest core", fullest[1])

    def _uses(self) -> tuple[list[Use], list[Use]]:
        """Of all classes of tiles, and of all classes of cores."""
        tiles = [one.use for cut in self.cuts.values() for one in cut.classes]
        return tiles, [use for use, _ in self.placement.classes]
