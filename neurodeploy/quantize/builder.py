"""The quantized graph as it grows: nodes, their types, and what each traced value became."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding
from neurodeploy.ir.graph import Attribute, Graph, Node, Tensor
from neurodeploy.ir.infer import IllegalNode
from neurodeploy.ir.ops import OPS
from neurodeploy.ir.types import ValueType
from neurodeploy.quantize.floats import Span
from neurodeploy.quantize.options import QuantizeOptions
from neurodeploy.quantize.streams import Share, Stream

Latents = Mapping[str, NDArray[np.float64]]


def _silent(stage: str) -> None:
    """Nobody listens."""


class Refused(Exception):  # noqa: N818  (turned into a Finding by the walk, so that all are listed at once)
    """A traced node that cannot be quantized."""

    def __init__(self, code: str, need: str, have: str, mend: str) -> None:
        super().__init__(need)
        self.code, self.need, self.have, self.mend = code, need, have, mend

    def finding(self, node: Node) -> Finding:
        """The finding for the node that was refused."""
        return Finding(self.code, node.name, self.need, self.have, self.mend, str(node.source))


@dataclass(frozen=True)
class Quantity:
    """What a traced value became: real = scale * integer + bias.

    name: value of the quantized graph.  bias: float64, broadcasts to the value's shape; None for zero.
    units: the scale of each element, where threshold groups make several of one; as the bias.
    """

    name: str
    scale: float
    bias: NDArray[np.float64] | None = None
    units: NDArray[np.float64] | None = None


@dataclass
class Builder:
    """State of the walk over a folded traced graph."""

    traced: Graph
    options: QuantizeOptions
    calibration: NDArray[np.float32]
    nodes: list[Node] = field(default_factory=list)
    types: dict[str, ValueType] = field(default_factory=dict)
    values: dict[str, Quantity] = field(default_factory=dict)
    choices: list[dict[str, object]] = field(default_factory=list)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)  # of the convolutions whose unit is that of a stream
    codes: dict[str, Quantity] = field(default_factory=dict)  # of the currents that convolutions read
    reaches: dict[str, Span] = field(default_factory=dict)  # least and largest float value a channel, of the same
    exact: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # what was rounded, see `Latents`
    samples: Any = None  # `samples.Samples`, where the rounding looks at data; none in a trial
    patient: bool = True  # whether a convolution waits for the integers that it reads
    say: Callable[[str], None] = _silent  # told of each layer that looks at data
    output_scale: float = 1.0

    def trial(self, shares: Mapping[str, Share]) -> Builder:
        """A builder that starts from what is known here and writes nothing into it.

        Shared on purpose: the traced graph, options, calibration and streams, which no handler writes, and `reaches`,
        which are of the float network, whatever the unit, and are measured once.
        """
        types, values, codes = dict(self.types), dict(self.values), dict(self.codes)
        new: dict[str, Any] = {"nodes": [], "choices": [], "exact": {}, "samples": None}
        return replace(self, **new, shares=dict(shares), types=types, values=values, codes=codes)

    def emit(
        self,
        op: str,
        like: Node,
        inputs: tuple[str, ...],
        attributes: Mapping[str, Attribute],
        tensors: Mapping[str, Tensor] | None = None,
    ) -> str:
        """Append a node that bears the name and source of the traced node `like`; returns its name."""
        node = Node(op, like.name, inputs, dict(attributes), dict(tensors or {}), like.source)
        try:
            known = tuple(self.types[name] for name in inputs)
            self.types[node.name] = OPS[op].types(node, known, self.traced.steps)
        except IllegalNode as error:
            raise Refused("ND-Q010", error.need, error.have, "write the layer as the op table takes it") from error
        self.nodes.append(node)
        return node.name

    def report(self, node: Node, **facts: object) -> None:
        """Note what was chosen for a layer; goes into the artefact and the report."""
        self.choices.append({"layer": node.name, **facts})
