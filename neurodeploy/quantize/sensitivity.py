"""What each layer loses at fewer bits, and the fewest bits that keep a budget or a bound.

One layer at a time gets 6, 4, 3 and 2 bits, all others stay at 8: the network is quantized so, rounded to the nearest,
which looks at no data and is quick, and runs on calibration samples. `auto_bits` lowers layers in the order of the
least loss a byte saved, and quantizes what results before it believes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DoesNotFitError, Finding, NeurodeployError
from neurodeploy.images import spread
from neurodeploy.ir.graph import Graph
from neurodeploy.quantize.currents import driven
from neurodeploy.quantize.ends import bits_of, first_layers, last_layers
from neurodeploy.quantize.execute import integer_logits, real_logits
from neurodeploy.quantize.options import MOST_BITS, QuantizeOptions
from neurodeploy.quantize.samples import Float32
from neurodeploy.quantize.streams import find_streams

WIDTHS = (8, 6, 4, 3, 2)
SAMPLES = 64  # of the sensitivities: each is a network of its own
MOST_SAMPLES = 512  # that verify
Quantize = Callable[[Graph, Float32, QuantizeOptions], Graph]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Loss:
    """What a network with one layer at fewer bits loses.

    agreement: samples, in percent, of the float network's class.  logit_error: root mean square difference of the
    logits to the float network's, as a share of theirs.  bytes: of this layer's weights.  refused: why there is none.
    """

    layer: str
    bits: int
    bytes: int
    agreement: float | None
    logit_error: float | None
    refused: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Auto:
    """Bits by layer, and facts of the search: the bound, and what these bits take or lose on the samples."""

    bits: dict[str, int]
    facts: dict[str, Any]


def weight_bytes(graph: Graph, bits: Mapping[str, int]) -> dict[str, int]:
    """Bytes of each layer's weights, every weight once, whatever shares it."""
    return {conv.name: -(-conv.tensors["weight"].size * bits[conv.name] // 8) for conv in graph.of("conv")}


class Judge:
    """Quantizes with given bits, and holds the result against the float network on the same samples."""

    def __init__(self, graph: Graph, images: Float32, options: QuantizeOptions, quantize: Quantize) -> None:
        self.graph, self.images, self.options, self._quantize = graph, images, options, quantize
        self.real = real_logits(graph, images)

    def graph_of(self, bits: Mapping[str, int]) -> Graph:
        """The network with these bits. Raises as `quantize`."""
        return self._quantize(self.graph, self.images, self.options.with_bits(bits))

    def measured(self, bits: Mapping[str, int]) -> tuple[float, float]:
        """Agreement in percent, and the logits' error."""
        return self.held(self.graph_of(bits))

    def held(self, graph: Graph) -> tuple[float, float]:
        """The same of a quantized graph."""
        return agreement(integer_logits(graph, self.images), self.real)


def agreement(given: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[float, float]:
    """Samples of the same class in percent, and the root mean square error of the logits as a share of theirs."""
    same = float((given.argmax(axis=1) == wanted.argmax(axis=1)).mean() * 100)
    power = float(np.square(wanted).mean()) or 1.0
    return same, float(f"{np.sqrt(np.square(given - wanted).mean() / power):.4g}")


def sensitivity(
    graph: Graph, images: Float32, options: QuantizeOptions, quantize: Quantize, say: Say | None = None
) -> list[Loss]:
    """A row for each layer and width; graph: folded. At 8 bits all rows are the same network."""
    plain = replace(options, rounding="nearest", scale="weight", bias_correction=False)
    judge = Judge(graph, spread(images, SAMPLES), plain, quantize)
    everywhere = dict.fromkeys((conv.name for conv in graph.of("conv")), MOST_BITS)
    tries = [(layer, width) for layer in everywhere for width in WIDTHS]
    found, swaps = list[Loss](), _Swaps(judge, everywhere)
    base: Loss | None = None
    for done, (layer, width) in enumerate(tries, start=1):
        (say or (lambda stage: None))(f"sensitivity {done} of {len(tries)}: {layer} at {width} bits")
        if width == MOST_BITS and base is not None:
            found.append(replace(base, layer=layer, bytes=weight_bytes(graph, everywhere)[layer]))
            continue
        found.append(_loss(judge, {**everywhere, layer: width}, layer, swaps))
        base = found[-1] if width == MOST_BITS else base
    return found


class _Swaps:
    """Networks with one layer at fewer bits. A plain layer's integers depend on nothing but its own bits.

    So it is taken, with its neuron, from a network of these bits everywhere; any other is quantized anew.
    """

    def __init__(self, judge: Judge, everywhere: Mapping[str, int]) -> None:
        self.judge, self.everywhere = judge, everywhere
        self.made: dict[int, Graph] = {}
        streams, first = find_streams(judge.graph), first_layers(judge.graph)
        readers = {conv.name: driven(judge.graph, conv)[1] for conv in judge.graph.of("conv")}
        self.neurons = {
            name: neuron.name
            for name, neuron in readers.items()
            if streams[name].plain and neuron.op == "neuron" and name not in first
        }

    def network(self, layer: str, bits: Mapping[str, int]) -> Graph:
        """The network. Raises as `quantize`."""
        if layer not in self.neurons:
            return self.judge.graph_of(bits)
        base, other = (self._uniform(width) for width in (MOST_BITS, bits[layer]))
        taken = {name: other.by_name[name] for name in (layer, self.neurons[layer])}
        return base.with_nodes(taken.get(node.name, node) for node in base.nodes)

    def _uniform(self, width: int) -> Graph:
        if width not in self.made:
            self.made[width] = self.judge.graph_of(dict.fromkeys(self.everywhere, width))
        return self.made[width]


def _loss(judge: Judge, bits: Mapping[str, int], layer: str, swaps: _Swaps) -> Loss:
    size = weight_bytes(judge.graph, bits)[layer]
    try:
        same, error = judge.held(swaps.network(layer, bits))
    except NeurodeployError as refusal:
        if set(bits.values()) == {MOST_BITS}:
            raise  # the network itself is refused, whatever its bits
        return Loss(layer, bits[layer], size, None, None, str(refusal.findings[0]))
    return Loss(layer, bits[layer], size, same, error)


def auto_bits(
    graph: Graph, images: Float32, options: QuantizeOptions, quantize: Quantize, say: Say | None = None
) -> Auto:
    """The fewest bits, layer by layer, that keep the budget, or the most drop on the samples.

    graph: folded.  first_bits and last_bits stand.  Raises DoesNotFitError where two bits everywhere are too many for
    the budget, or where all that is tried loses more than the bound.
    """
    tell = say or (lambda stage: None)
    fixed = _fixed(graph, options)
    losses = [loss for loss in sensitivity(graph, images, options, quantize, say) if loss.layer not in fixed]
    start = bits_of(graph, replace(options, weight_bits=MOST_BITS, budget=None, most_drop=None))
    path = list(_steps(start, losses, graph))
    if options.budget is not None:
        return _within(path, graph, options.budget)
    judge = Judge(graph, spread(images, MOST_SAMPLES), options, quantize)
    return _verified(path, judge, float(options.most_drop or 0.0), tell)


def _fixed(graph: Graph, options: QuantizeOptions) -> set[str]:
    ends = ((options.first_bits, first_layers(graph)), (options.last_bits, last_layers(graph)))
    return {name for own, names in ends if own is not None for name in names}


def _steps(bits: dict[str, int], losses: Iterable[Loss], graph: Graph) -> Iterable[dict[str, int]]:
    """From eight bits everywhere to the fewest, one layer one width at a time: next is the least error a byte saved."""
    known = {(loss.layer, loss.bits): loss for loss in losses if loss.logit_error is not None}
    yield dict(bits)
    while True:
        moves = []
        for layer, width in bits.items():
            here = known.get((layer, width))
            lower = next((known[layer, w] for w in WIDTHS if w < width and (layer, w) in known), None)
            if here is not None and lower is not None:
                worse = max((lower.logit_error or 0.0) ** 2 - (here.logit_error or 0.0) ** 2, 0.0)
                saved = max(here.bytes - lower.bytes, 1)
                moves.append((worse / saved, layer, lower.bits))
        if not moves:
            return
        _, layer, width = min(moves)
        bits = {**bits, layer: width}
        yield bits


def _within(path: list[dict[str, int]], graph: Graph, budget: int) -> Auto:
    """The first of the path whose weights take no more than the budget."""
    sizes = [sum(weight_bytes(graph, bits).values()) for bits in path]
    for bits, size in zip(path, sizes, strict=True):
        if size <= budget:
            return Auto(bits, {"budget": budget, "bytes": size})
    need, mend = (
        f"weights of {budget:,} bytes at most",
        "a larger budget; first_bits and last_bits, where they are given, stand",
    )
    raise DoesNotFitError(Finding("ND-Q034", "weight_bits", need, f"{sizes[-1]:,} bytes with the fewest bits", mend))


def _verified(path: list[dict[str, int]], judge: Judge, most_drop: float, say: Say) -> Auto:
    """The fewest bits that keep the bound, quantized and run: of the path, by bisection, and of one width everywhere.

    The path is made of layers rounded to the nearest, and more bits may lose more: one width may go further.
    """
    tried: list[tuple[float, dict[str, int]]] = []

    def size(bits: dict[str, int]) -> int:
        return sum(weight_bytes(judge.graph, bits).values())

    def holds(bits: dict[str, int]) -> bool:
        stage = f"verify: {size(bits):,} bytes of weights"
        say(stage)
        try:
            lost = 100 - judge.measured(bits)[0]
        except NeurodeployError:
            if bits == path[0]:
                raise  # at 8 bits: the network itself is refused
            lost = 100.0
        say(f"{stage}, {lost:.4g} % of another class")
        tried.append((lost, bits))
        return lost <= most_drop

    best = _furthest(path, holds) if holds(path[0]) else None
    fewer = [bits for bits in _one_width(path) if best is None or size(bits) < size(best)]
    best = next(filter(holds, fewer), best)
    if best is None:
        have = (
            f"{min(lost for lost, _ in tried):.4g} % of the {len(judge.images)} calibration samples differ at the least"
        )
        mend = "a larger most_drop, more calibration samples, or see what 8 bits cost with `evaluate`"
        need = f"{most_drop:g} % of another class at most"
        raise DoesNotFitError(Finding("ND-Q035", "weight_bits", need, have, mend))
    lost = next(lost for lost, bits in tried if bits is best)
    facts = {"most_drop": most_drop, "lost": lost, "samples": len(judge.images), "bytes": size(best)}
    return Auto(best, facts)


def _furthest(path: list[dict[str, int]], holds: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """By bisection, of a path whose first holds."""
    low, high = 0, len(path)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(path[middle]) else (low, middle)
    return path[low]


def _one_width(path: list[dict[str, int]]) -> list[dict[str, int]]:
    """Fewer bits than the first of the path, one width for all layers, the least first, each within the path's."""
    found = [
        {layer: min(path[0][layer], max(width, least)) for layer, least in path[-1].items()} for width in sorted(WIDTHS)
    ]
    return [bits for bits in found if bits != path[0]]
