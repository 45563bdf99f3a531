"""The network as a layered drawing: one box a layer, as the chip sees it (synapses with the neurons behind them)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import networkx as nx

from neurodeploy.ir.graph import ENCODERS, Graph, Node
from neurodeploy.ir.verify import types

VIEWS = ("reshape", "permute", "slice")
WIDTH, HEIGHT = 196, 50  # of a box
GAP, RISE, LANE = 18, 38, 14  # between boxes, between ranks, of an edge that passes a rank
MARGIN = 8
SWEEPS = 8
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass
class Box:
    """One layer of the drawing; (x, y): its upper left corner."""

    name: str
    layers: tuple[str, ...]
    title: str
    lines: tuple[str, ...]
    kind: str
    block: str
    rate: float | None = None
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Band:
    """The ranks of one block of the model."""

    block: str
    y: float
    height: float


@dataclass
class Drawing:
    """Boxes, the paths of the edges, and the bands of the blocks, in user units."""

    boxes: list[Box]
    edges: list[str] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


def draw(graph: Graph, rates: Mapping[str, float]) -> Drawing:
    """The drawing of a quantized graph.  rates: LIF -> firing rate, of those that were measured."""
    boxes, edges = condensed(graph, rates)
    derived = nx.DiGraph()
    derived.add_nodes_from(boxes)
    derived.add_edges_from(edges)
    ranks = _ranks(derived)
    columns, chains = _with_lanes(derived, ranks)
    places = _positions(columns, [pair for chain in chains.values() for pair in pairwise(chain)])
    left = min(places[name] - _width(name) / 2 for column in columns for name in column)
    for name, box in boxes.items():
        box.x, box.y = places[name] - left - WIDTH / 2 + MARGIN, _top(ranks[name])
    drawing = Drawing(list(boxes.values()))
    for chain in chains.values():
        drawing.edges.append(_path([(places[name] - left + MARGIN, rank) for name, rank in _ranked(chain, ranks)]))
    drawing.width = max(places[name] + _width(name) / 2 for column in columns for name in column) - left + 2 * MARGIN
    drawing.height = _top(len(columns)) - RISE + 2 * MARGIN
    drawing.bands = list(_bands(boxes, ranks))
    return drawing


def condensed(graph: Graph, rates: Mapping[str, float]) -> tuple[dict[str, Box], list[tuple[str, str]]]:
    """Boxes by name, and edges between them: views vanish, and a LIF takes in the synapses that feed it alone."""
    home: dict[str, str] = {}
    members: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if node.op in VIEWS:
            home[node.name] = home[node.inputs[0]]
            continue
        home[node.name] = node.name
        members[node.name] = [node]
        if node.op in ("lif", "max_pool") and len(graph.consumers[node.inputs[0]]) == 1:
            fed = members.get(home[node.inputs[0]], [])
            if fed and fed[-1].name == node.inputs[0] and fed[-1].op in ("conv", "max_pool", "reduce_sum"):
                members[node.name] = [*members.pop(fed[-1].name), node]
                home.update({name: node.name for name, place in home.items() if place == fed[-1].name})
    owner = {member.name: name for name, group in members.items() for member in group}
    for node in graph.nodes:
        if node.op in VIEWS:
            owner[node.name] = owner[node.inputs[0]]
    edges = {
        (owner[source], name): None
        for name, group in members.items()
        for member in group
        for source in member.inputs
        if owner[source] != name
    }
    return {name: _box(graph, group, rates) for name, group in members.items()}, list(edges)


def block_of(name: str) -> str:
    """The block of a layer: its path up to the last index (`stage1.0.tssa.q_lif` -> `stage1.0`), or its first part."""
    parts = name.split(".")
    last = max((place for place, part in enumerate(parts[:-1]) if part.isdigit()), default=0)
    return ".".join(parts[: last + 1]) if len(parts) > 1 else ""


def _box(graph: Graph, group: Sequence[Node], rates: Mapping[str, float]) -> Box:
    last, known = group[-1], types(graph)
    block = block_of(last.name)
    title = last.name.removeprefix(f"{block}.")
    shape = TIMES.join(map(str, known[last.name].shape))
    does = " → ".join(_word(node) for node in group)
    kind = "input" if last.op in ENCODERS else last.op
    rate = rates.get(last.name)
    if rate is None and group[0].op == "lif":
        rate = rates.get(group[0].name)
    out = known[last.name]
    sends = "spikes" if out.kind == "spikes" else f"{out.kind} {out.range}"
    return Box(last.name, tuple(n.name for n in group), title, (does, f"{shape} {sends}"), kind, block, rate)


WORDS = {
    "add": "residual sum",
    "encode": "image code",
    "encode_events": "event code",
    "gate": "mask AND spikes",
    "inhibit": "spikes AND NOT mask",
    "lif": "LIF",
    "max_pool": "max-pool",
    "readout": "read-out over T",
    "reduce_sum": "sum",
    "spike_matmul": "matrix product",
}


def _word(node: Node) -> str:
    """What a node does, with the size of its kernel and the width of its weights."""
    if node.op != "conv":
        return WORDS.get(node.op, node.op)
    weight = node.tensors["weight"]
    kernel = TIMES.join(map(str, weight.shape[2:]))
    bits = max(1, *(int(v).bit_length() for v in (abs(int(weight.min()) + 1), abs(int(weight.max()))))) + 1
    return f"{f'conv {kernel}' if set(weight.shape[2:]) - {1} else 'linear'}, {bits} bit"


def _ranks(derived: nx.DiGraph) -> dict[str, int]:
    """The longest way to each box; a box that waits for a later one stands right before its first reader."""
    order = list(nx.topological_sort(derived))
    ranks: dict[str, int] = {}
    for name in order:
        ranks[name] = max((ranks[before] + 1 for before in derived.predecessors(name)), default=0)
    for name in reversed(order):
        if derived.out_degree(name) == 1 and derived.in_degree(name):
            ranks[name] = max(ranks[name], min(ranks[after] for after in derived.successors(name)) - 1)
    return ranks


Slot = str | tuple[str, str, int]  # a box, or the place where an edge passes a rank


def _with_lanes(
    derived: nx.DiGraph, ranks: Mapping[str, int]
) -> tuple[list[list[Slot]], dict[tuple[str, str], list[Slot]]]:
    """The slots of every rank, and of every edge from its source to its target."""
    columns: list[list[Slot]] = [[] for _ in range(max(ranks.values(), default=0) + 1)]
    for name, rank in ranks.items():
        columns[rank].append(name)
    chains: dict[tuple[str, str], list[Slot]] = {}
    for source, target in derived.edges:
        passed = range(ranks[source] + 1, ranks[target])
        for rank in passed:
            columns[rank].append((source, target, rank))
        chains[source, target] = [source, *((source, target, rank) for rank in passed), target]
    return columns, chains


def _width(slot: Slot) -> float:
    return WIDTH if isinstance(slot, str) else LANE


def _positions(columns: list[list[Slot]], pairs: Sequence[tuple[Slot, Slot]]) -> dict[Slot, float]:
    """The centre of every slot: ordered by the mean of its neighbours, then pulled towards them, never overlapping."""
    near: dict[Slot, list[Slot]] = {slot: [] for column in columns for slot in column}
    for source, target in pairs:
        near[source].append(target)
        near[target].append(source)
    places: dict[Slot, float] = {}
    for column in columns:
        _spread(column, dict.fromkeys(column, 0.0), places)
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            wished = {slot: _mean([places[other] for other in near[slot]], places[slot]) for slot in column}
            if sweep < SWEEPS // 2:
                column.sort(key=lambda slot: (wished[slot], not isinstance(slot, str)))
            _spread(column, wished, places)
    return places


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _spread(column: Sequence[Slot], wished: Mapping[Slot, float], places: dict[Slot, float]) -> None:
    """Put the slots of a rank as near to where they wish to be as their widths allow, in their order."""
    at = -1e9
    for slot in column:
        places[slot] = at = max(wished[slot], at + _width(slot) / 2)
        at += _width(slot) / 2 + GAP
    shift = _mean([wished[slot] - places[slot] for slot in column], 0.0)
    for slot in column:
        places[slot] += shift


def _top(rank: int) -> float:
    return MARGIN + rank * (HEIGHT + RISE)


def _ranked(chain: Sequence[Slot], ranks: Mapping[str, int]) -> Iterator[tuple[Slot, int]]:
    start = ranks[chain[0]] if isinstance(chain[0], str) else 0
    return ((slot, start + place) for place, slot in enumerate(chain))


def _path(points: Sequence[tuple[float, int]]) -> str:
    """From the lower edge of the first box to the upper edge of the last, straight where it passes a rank."""
    x, y = points[0][0], _top(points[0][1]) + HEIGHT
    path = f"M{x:.0f} {y:.0f}"
    for place, (next_x, rank) in enumerate(points[1:], 2):
        top = _top(rank)
        bend = top - RISE / 2
        path += f"C{x:.0f} {bend:.0f} {next_x:.0f} {bend:.0f} {next_x:.0f} {top:.0f}"
        if place < len(points):
            path += f"V{top + HEIGHT:.0f}"
        x = next_x
    return path


def _bands(boxes: Mapping[str, Box], ranks: Mapping[str, int]) -> Iterator[Band]:
    """A band from the first to the last rank of each block, where it shares no rank with another block."""
    spans: dict[str, tuple[int, int]] = {}
    for name, box in ((name, box) for name, box in boxes.items() if box.block):
        low, high = spans.get(box.block, (ranks[name], ranks[name]))
        spans[box.block] = min(low, ranks[name]), max(high, ranks[name])
    for block, (low, high) in spans.items():
        alone = all(other == block or last < low or first > high for other, (first, last) in spans.items())
        if alone:
            yield Band(block, _top(low) - RISE / 2 + 3, (high - low + 1) * (HEIGHT + RISE) - 6)
