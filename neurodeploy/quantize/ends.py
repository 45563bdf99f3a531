"""The first and the last layers, which may have widths of their own."""

from __future__ import annotations

from neurodeploy.ir.graph import Graph
from neurodeploy.quantize.currents import driven
from neurodeploy.quantize.options import QuantizeOptions

INPUTS = ("input", "events")


def first_layers(graph: Graph) -> tuple[str, ...]:
    """The convolutions that read the input, of a folded traced graph."""
    sources = {node.name for op in INPUTS for node in graph.of(op)}
    return tuple(conv.name for conv in graph.of("conv") if conv.inputs[0] in sources)


def last_layers(graph: Graph) -> tuple[str, ...]:
    """The convolutions of the read-out: no neuron fires behind them."""
    return tuple(conv.name for conv in graph.of("conv") if driven(graph, conv)[1].op == "time_mean")


def with_ends(graph: Graph, options: QuantizeOptions) -> QuantizeOptions:
    """The options with the bits of every layer by name, where the first or the last have their own."""
    if options.first_bits is None and options.last_bits is None:
        return options
    return options.with_bits(bits_of(graph, options))


def bits_of(graph: Graph, options: QuantizeOptions) -> dict[str, int]:
    """The bits of every layer; those of the first and the last stand before the patterns."""
    bits = {conv.name: options.bits(conv.name) for conv in graph.of("conv")}
    for own, names in ((options.first_bits, first_layers(graph)), (options.last_bits, last_layers(graph))):
        bits |= {} if own is None else dict.fromkeys(names, own)
    return bits
