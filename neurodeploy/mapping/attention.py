"""Attention's products: plain, with counts saturated, with several value channels in one word.

Saturated: counts that a LIF adds up are clipped at the count that makes it fire anyway: in Q (K^T V) and (Q K^T) V,
where a clipped count meets a spike, the sum reaches that count with or without clipping.
Packed: value channels c and c + 1 travel as v_c + 2^b v_(c+1) through both products, which are linear in them; b bits
hold the largest sum. Afterwards a shift of the word gives the upper count, and word - 2^b upper the lower one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurodeploy.errors import DoesNotFitError, Finding
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.mapped import AttentionOrder, Population
from neurodeploy.ir.proof import remembers
from neurodeploy.ir.types import BINARY, Interval
from neurodeploy.ir.verify import types
from neurodeploy.mapping.builder import Drive, Network, Signal, Synapses
from neurodeploy.mapping.layout import Layout, dense, nest
from neurodeploy.numerics import PROFILES

MOST_LEVELS = 16  # of a saturated count: each level is a population of neurons


@dataclass(frozen=True)
class Operand:
    """One side of a product: a matrix [*B, rows, columns] that is a sum over populations, each times 2^exponent."""

    interval: Interval
    parts: tuple[tuple[str, Layout, int], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the matrix."""
        return self.parts[0][1].shape


@dataclass(frozen=True)
class Chain:
    """Two products in a row, X (Y Z) or (X Y) Z, and the LIF that reads their result, if nothing else does."""

    inner: Node
    outer: Node
    lif: Node | None

    @property
    def kv(self) -> bool:
        """Whether the inner product is the right side of the outer one."""
        return self.outer.inputs[1] == self.inner.name


@dataclass(frozen=True)
class Condition:
    """What has to hold for a lowering to be exact, or to be possible."""

    need: str
    have: str
    holds: bool


def chains(graph: Graph) -> tuple[Chain, ...]:
    """All attentions of a graph."""
    found = []
    for outer in graph.of("spike_matmul"):
        inner = [graph.by_name[name] for name in outer.inputs if graph.by_name[name].op == "spike_matmul"]
        if len(inner) == 1 and len(graph.consumers[inner[0].name]) == 1:
            found.append(Chain(inner[0], outer, _reader(graph, outer)))
    return tuple(found)


def _reader(graph: Graph, node: Node) -> Node | None:
    """The LIF behind views, if it alone reads the value."""
    while len(graph.consumers[node.name]) == 1:
        node = graph.consumers[node.name][0]
        if node.op not in ("reshape", "permute"):
            return node if node.op == "lif" else None
    return None


def saturation(graph: Graph, chain: Chain) -> int:
    """The least count that makes the LIF fire whatever its membrane, which counts never bring below zero.

    0 where there is no LIF, or no count lies above: then nothing is clipped.
    """
    if chain.lif is None:
        return 0
    level = (chain.lif.integer("vth") >> chain.lif.integer("weight_exp")) + 1
    return level if types(graph)[chain.inner.name].range.hi > level else 0


def saturation_conditions(graph: Graph, chain: Chain) -> tuple[Condition, ...]:
    """When counts of the inner product may be clipped."""
    known = types(graph)
    factor = known[chain.outer.inputs[0 if chain.kv else 1]]
    count, level = known[chain.inner.name].range, saturation(graph, chain)
    lowest = int(chain.lif.tensors["bias_mant"].min()) if chain.lif else 0
    return (
        Condition("one LIF that reads the product", chain.lif.name if chain.lif else "another reader", bool(chain.lif)),
        Condition("spikes that the clipped counts are multiplied with", str(factor), factor.range.within(BINARY)),
        Condition("counts that are never negative", str(count), count.lo >= 0),
        Condition("no negative bias", str(lowest), lowest >= 0),
        Condition("a current that lasts for its step", *_lasting(chain.lif)),
        Condition(f"a count that fires of at most {MOST_LEVELS}", str(level), level <= MOST_LEVELS),
    )


def _lasting(lif: Node | None) -> tuple[str, bool]:
    """A current that lasts would remember the counts that were clipped: (du, whether it does not)."""
    lasting = lif is not None and remembers(lif)
    return f"du = {lif.integer('du')}" if lif and lasting else "one that does", not lasting


@dataclass(frozen=True)
class Packing:
    """`channels` value channels a word, of `bits` bits each."""

    channels: int
    bits: int

    def word(self, highest: int) -> int:
        """The largest word whose channels reach `highest`."""
        return sum(highest << self.bits * i for i in range(self.channels))


def largest_count(graph: Graph, chain: Chain, saturated: bool) -> int:
    """The largest count of the whole product; where counts are not clipped, words hold those of the inner one too."""
    known = types(graph)
    inner, whole = known[chain.inner.name].range.hi, known[chain.outer.name].range.hi
    level = saturation(graph, chain) if saturated else 0
    if level:
        return known[chain.outer.inputs[0]].shape[-1] * level
    return max(whole, inner if chain.kv else 0)


def packing(graph: Graph, chain: Chain, highest: int) -> Packing | None:
    """The most channels that fit a word and divide the head's; None where there is no such number."""
    profile, channels = PROFILES[graph.profile], types(graph)[_value(chain)].shape[-1]
    words = (Packing(count, highest.bit_length()) for count in range(profile.payload_bits, 1, -1))
    return next((w for w in words if channels % w.channels == 0 and w.word(highest) <= profile.payload_max), None)


def packing_conditions(graph: Graph, chain: Chain, saturated: bool) -> tuple[Condition, ...]:
    """When value channels may share a word."""
    limit, known = PROFILES[graph.profile].payload_max, types(graph)
    highest = largest_count(graph, chain, saturated)
    lowest = min(known[name].range.lo for name in (*chain.inner.inputs, *chain.outer.inputs))
    pair, channels = Packing(2, highest.bit_length()).word(highest), known[_value(chain)].shape[-1]
    possible = pair > limit or packing(graph, chain, highest) is not None
    return (
        Condition("counts that are never negative", str(lowest), lowest >= 0),
        Condition(f"two counts up to {highest} in a payload up to {limit}", str(pair), pair <= limit),
        Condition("a number of channels that words divide", str(channels), possible),
    )


def _value(chain: Chain) -> str:
    """The operand whose columns are the value channels."""
    return (chain.inner if chain.kv else chain.outer).inputs[1]


def operand(network: Network, signal: Signal) -> Operand:
    """A signal as it is."""
    return Operand(network.interval(signal), ((signal.population, network.layout(signal), 0),))


def packed(network: Network, signal: Signal, words: Packing | None) -> Operand:
    """A signal [*B, k, m] as words [*B, k, m / channels], which are so many synapses each and no neuron."""
    if words is None:
        return operand(network, signal)
    shape = network.layout(signal).shape
    signal = network.viewed(signal, ("reshape", (*shape[:-1], shape[-1] // words.channels, words.channels)))
    layout, rank = network.layout(signal), len(shape)
    parts = [(signal.population, layout.part(rank, i, 1).dropped(rank), words.bits * i) for i in range(words.channels)]
    return Operand(Interval(0, words.word(network.interval(signal).hi)), tuple(parts))


def product(network: Network, name: str, left: Operand, right: Operand) -> Drive:
    """[*B, n, k] times [*B, k, m]: a product neuron a term [*B, n, k, m], summed over k by synapses of weight one."""
    rank, result = len(left.shape), (*left.shape[:-1], right.shape[-1])
    shape = (*left.shape, right.shape[-1])
    ports = [_port(shape, side, place) for side, place in ((left, rank), (right, rank - 2))]
    interval = left.interval * right.interval
    made = network.land(Population(f"{name}/product", "product", shape, 0, interval), *ports)
    summed = nest(dense(result).expanded(rank - 1), dense(shape))
    return Drive(result, interval.scaled(left.shape[-1]), (Synapses(made.population, summed),))


def _port(shape: tuple[int, ...], side: Operand, place: int) -> Drive:
    parts = [
        Synapses(population, nest(dense(shape), layout.expanded(place), exponent=exponent))
        for population, layout, exponent in side.parts
    ]
    return Drive(shape, side.interval, tuple(parts))


def clipped(network: Network, name: str, drive: Drive, level: int) -> list[Signal]:
    """min(count, level) as the sum of spikes: neuron t of `level` fires where the count is at least t."""
    count = network.graded(f"{name}/count", drive)
    return [network.stateless(f"{name}/level{t}", network.relayed(count), t - 1) for t in range(1, level + 1)]


@dataclass(frozen=True)
class Form:
    """How a chain is lowered: counts clipped at `level` (0: not), and value channels in words (None: not).

    inner_words: of the inner product; those of the whole, unless clipping takes them apart in between.
    """

    chain: Chain
    level: int
    words: Packing | None
    inner_words: Packing | None


def order_of(attention: AttentionOrder) -> AttentionOrder:
    """The order of the two products in a form of attention."""
    orders: tuple[AttentionOrder, ...] = ("kv", "qk")
    return next((order for order in orders if attention.startswith(order)), attention)


def forms_of(graph: Graph, attention: AttentionOrder) -> tuple[Form, ...]:
    """The form of every chain; none where they are lowered plainly. Raises DoesNotFitError where one is not exact."""
    saturated, pack = "saturated" in attention, "packed" in attention
    if not (saturated or pack):
        return ()
    wrong = [
        Finding(
            "ND-M152",
            chain.outer.name,
            f"{attention}: {c.need}",
            c.have,
            "another form of attention",
            str(chain.outer.source),
        )
        for chain in chains(graph)
        for c in conditions(graph, chain, attention)
        if not c.holds
    ]
    if wrong:
        raise DoesNotFitError(wrong)
    return tuple(_form(graph, chain, saturated, pack) for chain in chains(graph))


def _form(graph: Graph, chain: Chain, saturated: bool, pack: bool) -> Form:
    level = saturation(graph, chain) if saturated else 0
    words = packing(graph, chain, largest_count(graph, chain, saturated)) if pack else None
    inner = packing(graph, chain, types(graph)[chain.inner.name].range.hi) if words and level else words
    return Form(chain, level, words, inner if chain.kv else None)


def conditions(graph: Graph, chain: Chain, attention: AttentionOrder) -> tuple[Condition, ...]:
    """All conditions of a form for a chain that stands in its order."""
    saturated = "saturated" in attention
    found = saturation_conditions(graph, chain) if saturated else ()
    return (*found, *(packing_conditions(graph, chain, saturated) if "packed" in attention else ()))


def lowered(network: Network, form: Form, signals: Sequence[Signal]) -> Drive:
    """The whole of a chain; signals: inputs of the inner product, and the outer one's other."""
    chain, name = form.chain, form.chain.inner.name
    first, second, other = signals
    if chain.kv:
        middle = product(network, name, operand(network, first), packed(network, second, form.inner_words))
        left, right = operand(network, other), _middle(network, form, middle)
    else:
        middle = product(network, name, operand(network, first), operand(network, second))
        left, right = _middle(network, form, middle), packed(network, other, form.words)
    total = product(network, chain.outer.name, left, right)
    return _unpacked(network, chain.outer.name, total, form.words) if form.words else total


def _middle(network: Network, form: Form, drive: Drive) -> Operand:
    """The result of the inner product on its way into the outer one, clipped or as it is."""
    name, words = form.chain.inner.name, form.words if form.chain.kv else None
    if not form.level:
        return operand(network, network.graded(name, drive))
    counts = _unpacked(network, name, drive, form.inner_words) if form.inner_words else drive
    sides = [packed(network, signal, words) for signal in clipped(network, name, counts, form.level)]
    shape, interval = sides[0].shape, Interval(0, words.word(form.level) if words else form.level)
    parts = [Synapses(p, nest(dense(shape), at, exponent=e)) for side in sides for p, at, e in side.parts]
    return operand(network, network.graded(name, Drive(shape, interval, tuple(parts))))


def _unpacked(network: Network, name: str, drive: Drive, words: Packing) -> Drive:
    """The counts in words [.., m / channels] as a drive [.., m]: shifts give the upper counts of each word, and what is
    left of it the lower one."""
    rank, shape = len(drive.shape), (*drive.shape, words.channels)
    upper = [network.graded(f"{name}/word", drive)]
    for i in range(1, words.channels):
        upper.append(network.graded(f"{name}/upper{i}", network.relayed(upper[-1], -words.bits)))
    parts, highest = [], network.interval(upper[-1]).hi
    for i, signal in enumerate(upper):
        place = dense(shape).part(rank, i, 1).dropped(rank)
        parts.append(Synapses(signal.population, nest(place, network.layout(signal))))
        for above in upper[i + 1 : i + 2]:
            parts.append(Synapses(above.population, nest(place, network.layout(above), -1, words.bits)))
            highest = max(highest, (1 << words.bits) - 1)
    return Drive((*drive.shape[:-1], drive.shape[-1] * words.channels), Interval(0, highest), tuple(parts))
