"""What each box of a cut population needs of a chip, recounted from the patterns for the check of a placement."""

from __future__ import annotations

from dataclasses import fields
from functools import cached_property
from math import prod

import numpy as np

from neurodeploy.ir.chip import Cut, Filters, Placement, Shape, Synapses
from neurodeploy.ir.placement_active import readable_rows
from neurodeploy.ir.placement_recount import Counted, recount
from neurodeploy.targets import Target


class Recounts:
    """What each box needs, resource by resource, recounted from the patterns."""

    def __init__(self, placement: Placement, target: Target) -> None:
        self.network, self.cuts, self.target = placement.tiling.network, placement.tiling.cuts, target
        self._known: dict[tuple[object, ...], Counted | None] = {}
        self._readable: dict[int, int] = {}

    def readable(self, rows: int) -> int:
        """Rows of so many that one read may switch on, see `placement_active.readable_rows`."""
        if rows not in self._readable:
            self._readable[rows] = readable_rows(self.target, rows)
        return self._readable[rows]

    def counted(self, synapses: Synapses, only: tuple[Shape, ...] | None = None) -> Counted | None:
        """The counts of a crossbar; one of equal geometry is counted once."""
        step, pattern = self.cuts[synapses.target].step, synapses.pattern
        source = self.cuts.get(synapses.source)
        source_step = source.step if source else synapses.source_shape
        geometry = tuple(getattr(pattern, f.name) for f in fields(pattern) if f.name != "weight")
        shapes = (synapses.target_shape, step, synapses.source_shape, source_step)
        key = (geometry, pattern.weight.shape, *shapes, only)
        if key not in self._known:
            self._known[key] = recount(synapses, step, source_step, only=only)
        return self._known[key]

    def inputs(self, name: str, only: tuple[Shape, ...] | None = None) -> list[tuple[Synapses, Counted]]:
        """The crossbars onto a population that could be counted."""
        pairs = [(s, self.counted(s, only)) for s in self.network.inputs(name)]
        return [(synapses, counted) for synapses, counted in pairs if counted is not None]

    def needs(self, cut: Cut, index: Shape, inputs: list[tuple[Synapses, Counted]]) -> dict[str, int]:
        """What all parts of a box need together, axons out aside."""
        at = int(np.ravel_multi_index(index, cut.counts))
        size = prod(min(s, n - i * s) for i, s, n in zip(index, cut.step, cut.shape, strict=True))
        found = {"neurons": size, "synapses": sum(int(c.synapses[at]) for _, c in inputs)}
        if self.target.kind == "crossbar":
            return found | self._arrays(at, size, inputs)
        found["axons_in"] = sum(int(c.axons[at]) for _, c in inputs)
        return found | {"synapse_memory": sum(self._bytes(s, c, at) for s, c in inputs)}

    def whole(self, cut: Cut) -> dict[str, int]:
        """What all tiles of a population have together: neurons and synapses; and what they need at least, since no
        neuron has two synapses in one row, or from one axon.

        Cores repeat the neurons in each part of the fan-in; of arrays, those of the first part alone have them.
        """
        inputs, size, array = self.network.inputs(cut.population), prod(cut.shape), self.target.kind == "crossbar"
        most = prod(min(s, n) for s, n in zip(cut.step, cut.shape, strict=True))
        found = {"neurons": size * (1 if array else cut.parts), "synapses": sum(s.count for s in inputs)}
        if not array:
            return found | {"axons_in": -(-found["synapses"] // most)}
        held = [(s.count, self.target.cells(_bits(s)) or (1, 1)) for s in inputs if not self._digital(s)]
        return found | {"rows": -(-sum(count * tall for count, (tall, _) in held) // most)}

    def _bytes(self, synapses: Synapses, counted: Counted, at: int) -> int:
        """Weights once where the chip shares those of a layer, else one a synapse beside what a list of them takes."""
        most, overhead, shares = self._synapse
        bits = min(most, _bits(synapses)) if self.target.flag("synapse", "any_width") else most
        if shares and (isinstance(synapses.pattern, Filters) or synapses.pattern.weight.size > 1):
            return -(-int(counted.weights[at]) * bits // 8)
        return -(-int(counted.synapses[at]) * (bits + overhead) // 8)

    @cached_property
    def _synapse(self) -> tuple[int, int, bool]:
        """Bits of the widest weight, bits beside it in a list, and whether the weights of a layer are shared."""
        target = self.target
        bits = int(target.number("synapse", "weight_bits") or target.arithmetic.weight_bits)
        overhead = int(target.number("synapse", "overhead_bits") or 0)
        return bits, overhead, target.flag("synapse", "shares_weights")

    def _arrays(self, at: int, size: int, inputs: list[tuple[Synapses, Counted]]) -> dict[str, int]:
        """Rows and columns, at least: unrolled, a row an axon and a column a neuron; or, where an array may hold a
        layer once and take its places in turns, those of the matrix of its weights."""
        held = [(s, c) for s, c in inputs if not self._digital(s)]
        cells = {s.name: self.target.cells(_bits(s)) or (1, 1) for s, _ in held}
        layers = all(isinstance(s.pattern, Filters) or s.pattern.weight.size > 1 for s, _ in held)
        turns = bool(held) and layers and self.target.flag("synapse", "shares_weights")
        least = [(c.rows, c.columns) if turns else (c.axons, None) for _, c in held]
        rows = sum(
            min(int(r[at]), int(c.axons[at])) * cells[s.name][0] for (r, _), (s, c) in zip(least, held, strict=True)
        )
        outputs = min([size, *(int(o[at]) for _, o in least if o is not None)])
        return {"rows": rows, "columns": outputs * max((wide for _, wide in cells.values()), default=0)}

    def _digital(self, synapses: Synapses) -> bool:
        """Whether adders behind an analog array take one axon a neuron as it is."""
        target, pattern = self.target, synapses.pattern
        if isinstance(pattern, Filters) or "adc" not in target.facts or not target.adds_partial_sums:
            return False
        single = prod(axis.size for axis in pattern.axes if not axis.target) == 1
        return single and bool((abs(pattern.weight) == 1).all())


def _bits(synapses: Synapses) -> int:
    """Bits of the widest weight, sign included."""
    low, high = (int(end(initial=0)) for end in (synapses.pattern.weight.min, synapses.pattern.weight.max))
    return next(b for b in range(1, 64) if -(1 << b - 1) <= low and high < 1 << b - 1)
