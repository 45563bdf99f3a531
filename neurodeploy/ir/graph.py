"""The graph: frozen nodes in topological order. Every node makes one value, which bears the node's name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding, InvalidFileError, VerifyError

Attribute = int | float | bool | str | tuple[int, ...]
Tensor = NDArray[Any]
EVENTS = "encode_events"
ENCODERS = ("encode", EVENTS)


class Stage(str, Enum):
    """Where a graph stands on its way: float values as traced, or integers."""

    TRACED = "traced"
    QUANTIZED = "quantized"


@dataclass(frozen=True)
class Source:
    """Where a node comes from in the user's model: module path, file and line ("" and 0 if unknown)."""

    path: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else ""


@dataclass(frozen=True, eq=False)
class Node:
    """One op. `inputs` are names of other nodes; `attributes` and `tensors` are declared in the op table."""

    op: str
    name: str
    inputs: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    source: Source = Source()

    def integer(self, attribute: str) -> int:
        """An integer attribute."""
        return int(self.attributes[attribute])  # type: ignore[arg-type]

    def number(self, attribute: str) -> float:
        """A float attribute."""
        return float(self.attributes[attribute])  # type: ignore[arg-type]

    @property
    def thresholds(self) -> Tensor | int:
        """The vth of a LIF, in weight units: one, or int64 that broadcasts to its shape."""
        return self.tensors["thresholds"].astype(np.int64) if "thresholds" in self.tensors else self.integer("vth")

    def integers(self, attribute: str) -> tuple[int, ...]:
        """An attribute that is a tuple of integers."""
        value = self.attributes[attribute]
        return value if isinstance(value, tuple) else (int(value),)


@dataclass(frozen=True, eq=False)
class Graph:
    """A network of one stage.

    nodes:        in topological order, names unique.
    output:       the value that is the network's result (traced: `time_mean`; quantized: `readout`).
    steps:        T, the time steps of a sample.
    profile:      the arithmetic of a quantized graph, see `neurodeploy.numerics`.
    output_scale: float logit = integer logit * output_scale (quantized).
    metadata:     plain strings: target, versions, the quantizer's choices.
    """

    name: str
    stage: Stage
    steps: int
    nodes: tuple[Node, ...]
    output: str
    profile: str = "loihi-lava"
    output_scale: float = 1.0
    metadata: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that read each value, in order; a node that reads it twice stands there once."""
        users: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                users.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in users.items()}

    def of(self, op: str) -> tuple[Node, ...]:
        """All nodes of an op, in order."""
        return tuple(node for node in self.nodes if node.op == op)

    @cached_property
    def made(self) -> frozenset[str]:
        """Nodes that the quantizer made and no layer of the model is (metadata `made`, a JSON list of names).

        Raises InvalidFileError where it holds anything else: an artefact can be sealed and still hold nonsense.
        """
        text = self.metadata.get("made", "[]")
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            listed = None
        if not (isinstance(listed, list) and all(isinstance(name, str) for name in listed)):
            need, mend = "a JSON list of names in the metadata", "compile it again"
            raise InvalidFileError(Finding("ND-G004", "made", need, f"{text:.40}", mend))
        return frozenset(listed)

    @property
    def encoders(self) -> tuple[Node, ...]:
        """The nodes of a quantized graph that code the image or the event frames."""
        return tuple(node for node in self.nodes if node.op in ENCODERS)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one sample of a quantized graph: [C, H, W] of an image, [T, C, H, W] of event frames."""
        node = self.encoders[0]
        frame = node.integers("shape")
        return (self.steps, *frame) if node.op == EVENTS else frame

    def with_nodes(self, nodes: Iterable[Node], output: str | None = None) -> Graph:
        """The same graph with other nodes, put in topological order."""
        return replace(self, nodes=topological(nodes), output=output or self.output)


def topological(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Nodes in topological order, stable: among those that are ready, the one listed first comes first.

    A cycle or a missing input is left for the verifier: such nodes keep their place at the end.
    """
    listed = list(nodes)
    place = {node.name: index for index, node in enumerate(listed)}
    derived = nx.DiGraph()
    derived.add_nodes_from(range(len(listed)))
    derived.add_edges_from((place[name], i) for i, n in enumerate(listed) for name in n.inputs if name in place)
    if not nx.is_directed_acyclic_graph(derived):
        return tuple(listed)
    return tuple(listed[i] for i in nx.lexicographical_topological_sort(derived))


def live_nodes(graph: Graph) -> tuple[Node, ...]:
    """The nodes that the output needs, in order."""
    needed = {graph.output}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return tuple(node for node in graph.nodes if node.name in needed)


def tensor(values: object, dtype: Any) -> Tensor:
    """A read-only, contiguous copy of an array, so that nothing that a node holds can change.

    Raises VerifyError for numbers that the dtype does not hold as they are.
    """
    given = np.asarray(values)
    with np.errstate(invalid="ignore", over="ignore"):  # what that says of is refused below
        array = given.astype(dtype, order="C")
    if not np.can_cast(given.dtype, array.dtype) and not np.array_equal(array, given):
        need, have = f"numbers that {array.dtype} holds", f"{given.dtype} from {given.min()} to {given.max()}"
        raise VerifyError(Finding("ND-G005", "", need, have, "report this bug: these would wrap or be rounded"))
    array.setflags(write=False)
    return array
