"""What attention, max-pools and residuals cost in each of their lowerings, which of these are exact and fit, and the
cheapest of them.

A price is not estimated: the network is lowered that way, in patterns, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

from neurodeploy.errors import DoesNotFitError, Finding, UnsupportedModelError, UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.mapped import CUSTOM, AttentionOrder, NeuronChoice, Population, Residual
from neurodeploy.ir.types import BINARY
from neurodeploy.ir.verify import types
from neurodeploy.mapping.attention import chains
from neurodeploy.mapping.lower import walk
from neurodeploy.mapping.symbolic import patterns_of, synapses_of
from neurodeploy.mapping.tile_features import payload_bits
from neurodeploy.targets.target import Target

ORDERS: tuple[AttentionOrder, ...] = tuple(order for order in get_args(AttentionOrder) if order != "auto")
What = Literal["attention", "max-pool", "residual"]


class Choice(NamedTuple):
    """How a network is lowered, in the order of the arguments of `mapping.lower`."""

    attention: AttentionOrder = "auto"
    neurons: NeuronChoice = "stock"
    residual: Residual = "graded"


@dataclass(frozen=True)
class Price:
    """The whole network in one choice of lowerings.

    what, layers: what differs, and in how many layers.  neurons, synapses: all, synapses before any sharing.  kinds:
    neurons a kind.  depth: time steps from source to output.  period: time steps a step takes.  payload_bits: of the
    widest payload, sign included, 0 where all are spikes.  inexact: why it cannot be had.  unfit: populations whose
    kind or payload the target has not.  misfits: what the target has not, or has too little of.
    """

    what: What
    choice: Choice
    layers: int
    neurons: int = 0
    synapses: int = 0
    kinds: Mapping[str, int] | None = None
    depth: int = 0
    period: int = 1
    payload_bits: int = 0
    inexact: tuple[Finding, ...] = ()
    unfit: int = 0
    misfits: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether it computes the quantized graph's integers."""
        return not self.inexact

    @property
    def possible(self) -> bool:
        """Whether it is exact and nothing of the target stands against it."""
        return self.exact and not self.misfits

    @property
    def custom(self) -> int:
        """Neurons that no stock Lava process computes."""
        return sum(count for kind, count in (self.kinds or {}).items() if kind in CUSTOM)

    @property
    def name(self) -> str:
        """The lowering, as it is asked for."""
        if self.what == "attention":
            return self.choice.attention
        if self.what == "residual":
            return self.choice.residual
        return "max neurons" if self.choice.neurons == "custom" else "ReLU neurons"

    def row(self, chosen: Choice) -> dict[str, Any]:
        """One line of a table; counts are None where it cannot be had."""
        counts = {"neurons": self.neurons, "synapses": self.synapses, "depth": self.depth, "period": self.period}
        more = {"payload bits": self.payload_bits, "custom neurons": self.custom}
        return {
            "of": self.what,
            "lowering": self.name,
            "layers": self.layers,
            **{key: value if self.exact else None for key, value in {**counts, **more}.items()},
            "exact": "yes"
            if self.exact
            else "; ".join(f"{f.layer}: needs {f.need}, has {f.have}" for f in self.inexact[:1]),
            "fits": "yes" if self.possible else "; ".join(self.misfits),
            "chosen": self.choice == chosen and self.exact,
        }


@dataclass(frozen=True)
class Chosen:
    """The choice of lowerings, why, and all prices."""

    choice: Choice
    why: str
    prices: tuple[Price, ...]

    def document(self, asked: str = "auto") -> dict[str, Any]:
        """As plain data, for the bill."""
        rows = [price.row(self.choice) for price in self.prices]
        return {"asked": asked, "chosen": self.choice.attention, "why": self.why, "alternatives": rows}


def choose(graph: Graph, target: Target, asked: Choice = Choice()) -> Chosen:  # noqa: B008  (it is immutable)
    """The choice asked for, with attention "auto" the exact and fitting one of fewest neurons, and every alternative.

    Streaming, which takes several steps a time step, is taken where it saves chips.  Where none fits, "auto" takes the
    exact one of fewest populations that misfit, then of fewest neurons; where the network cannot be lowered at all,
    what was asked for: what stands against it the mapping says.  Raises UsageError for an unknown name.
    """
    _known(asked)
    try:
        walk(graph, *asked._replace(attention="auto"))
    except (DoesNotFitError, UnsupportedModelError):
        return Chosen(asked, "the network cannot be lowered", ())
    layers, held = layers_of(graph), dict[Choice, Price]()

    def priced(what: What, choice: Choice) -> Price:
        if choice not in held:
            held[choice] = price(graph, target, what, choice, layers[what])
        return replace(held[choice], what=what, layers=layers[what])

    orders = ORDERS if layers["attention"] else ()
    prices = [priced("attention", asked._replace(attention=order)) for order in orders]
    choice, why = _picked(asked, prices, target)
    if layers["max-pool"]:
        prices += [priced("max-pool", choice._replace(neurons=neurons)) for neurons in get_args(NeuronChoice)]
    if layers["residual"]:
        prices += [priced("residual", choice._replace(residual=residual)) for residual in get_args(Residual)]
    return Chosen(choice, why, tuple(prices))


def _known(asked: Choice) -> None:
    kinds = zip(Choice._fields, asked, (AttentionOrder, NeuronChoice, Residual), strict=True)
    wrong = [(name, value, get_args(kind)) for name, value, kind in kinds if value not in get_args(kind)]
    if wrong:
        raise UsageError(
            Finding("ND-M153", "", f"{name}: one of {', '.join(all_)}", str(value), "choose one of these")
            for name, value, all_ in wrong
        )


def _picked(asked: Choice, prices: Sequence[Price], target: Target) -> tuple[Choice, str]:
    """With "auto" the one of fewest misfits, of fewest chips by its neurons, without a period, of fewest neurons."""
    if asked.attention != "auto" or not prices:
        return asked, "as asked for" if prices else "no attention of two products"
    exact = [price for price in prices if price.exact and _allowed(price)]
    possible = [price for price in exact if price.possible]
    if not exact:
        return asked, "no other form is exact"
    order = sorted(possible or exact, key=lambda p: (p.unfit, _chips(p, target), p.period, p.neurons, p.synapses))
    best, other = order[0], next((p for p in order if (p.period == 1) != (order[0].period == 1)), None)
    if not possible:
        return best.choice, "fewest layers that misfit, then fewest neurons; none fits"
    rule = "fewest chips by neurons, then fewest neurons," if other else "fewest neurons"
    return best.choice, f"{rule} of {len(possible)} that are exact and fit" + _instead(best, other, target)


def _instead(best: Price, other: Price | None, target: Target) -> str:
    """What the other way has to offer, of one that streams tokens and one that does not."""
    if other is None:
        return ""
    chips, period = _chips(other, target), max(best.period, other.period)
    at = f" on {chips} chip{'s' if chips > 1 else ''} or more" if chips else ""
    rate = f"{period} times the throughput" if other.period == 1 else f"1/{period} of the throughput"
    return f"; --attention {other.name}: {other.neurons:,} neurons{at}, {rate}"


def _chips(price: Price, target: Target) -> int:
    """Chips that its neurons alone take; 0 where nobody knows how many a chip has."""
    neurons, cores = target.limit("neurons"), target.limit("cores")
    return 0 if neurons is None or cores is None else -(-price.neurons // (neurons * cores))


def _allowed(price: Price) -> bool:
    return price.choice.neurons == "custom" or price.choice.attention != "stream"


def layers_of(graph: Graph) -> dict[What, int]:
    """Layers that have alternatives: attentions of two products, pools of what is no spike, residuals."""
    known = types(graph)
    pools = sum(not known[node.inputs[0]].range.within(BINARY) for node in graph.of("max_pool"))
    return {"attention": len(chains(graph)), "max-pool": pools, "residual": len(graph.of("add"))}


def price(graph: Graph, target: Target, what: What, choice: Choice, layers: int = 1) -> Price:
    """What the network takes in one choice of lowerings."""
    try:
        network = walk(graph, *choice).network
        patterns = patterns_of(network)
    except (DoesNotFitError, UnsupportedModelError, UsageError) as error:
        return Price(what, choice, layers, inexact=error.findings)
    kinds: Counter[str] = Counter()
    for population in network.populations.values():
        kinds[population.kind] += population.size
    found = Price(
        what=what,
        choice=choice,
        layers=layers,
        neurons=kinds.total() - kinds["source"],
        synapses=sum(synapses_of(network, joint, pattern).count for joint, pattern in patterns),
        kinds=dict(kinds),
        depth=max(population.depth for population in network.populations.values()),
        period=network.period,
        payload_bits=max(map(_payload, network.populations.values())),
        unfit=sum(_misfit(population, target) for population in network.populations.values()),
    )
    return replace(found, misfits=tuple(_misfits(found, target)))


def _payload(population: Population) -> int:
    """Bits of what it sends, sign included; 0 of spikes, and of pixels, which the host sends."""
    return 0 if population.kind == "source" else payload_bits(population.interval)


def _misfit(population: Population, target: Target) -> bool:
    """Whether the target has not what it is made of, or no payload for what it sends."""
    return not _held(population.kind, target) or _payload(population) > target.graded


def _held(kind: str, target: Target) -> bool:
    """Whether the target has such neurons; an array computes sums, of what reads them its file may say nothing."""
    if kind in CUSTOM:
        return target.flag("neuron", "programmable")
    known = target.value("neuron", kind)
    return kind == "source" or known is True or (known is None and target.kind != "cores")


def _misfits(price: Price, target: Target) -> Iterator[str]:
    """What the target has not, or too little of."""
    kinds = price.kinds or {}
    missing = [kind for kind in ("lif", "sum", "relu", "product") if kinds.get(kind) and not _held(kind, target)]
    if missing:
        yield f"no {', '.join(missing)} neurons there"
    if price.custom and not target.flag("neuron", "programmable"):
        yield "no custom neurons there"
    if price.payload_bits > target.graded:
        yield f"payloads of {target.graded} bits there" if target.graded else "binary spikes there"
    room = _room(target)
    if room is not None and price.neurons > room:
        yield f"{room:,} neurons there"


def _room(target: Target) -> int | None:
    """Neurons of all chips; None where a factor is not known."""
    found = [target.limit(resource) for resource in ("neurons", "cores", "chips")]
    if any(part is None for part in found):
        return None
    neurons, cores, chips = (part or 0 for part in found)
    return neurons * cores * chips
