"""What neurodeploy puts into a .net file beside the layers, in the group /neurodeploy, which netx does not look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neurodeploy.errors import Finding
from neurodeploy.ir.graph import Graph, tensor
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.types import Interval
from neurodeploy.netx.container import AGAIN, Container
from neurodeploy.netx.fields import DAMAGED, Fields
from neurodeploy.netx.layers import raise_all
from neurodeploy.netx.reading import MAX_STEPS, Names
from neurodeploy.numerics import Int64

GROUP = "neurodeploy"
MOST_BIAS = 1 << 31  # of a logit, which the host adds


@dataclass(frozen=True)
class Own:
    """steps: T.  name: of the network.  code: of its input.  scale, bias: of the logits, which the host applies."""

    steps: int
    name: str
    code: PixelCode
    scale: float
    bias: Int64
    names: Names

    @classmethod
    def of(cls, graph: Graph, names: Names) -> Own:
        """What goes along with a graph."""
        bias = graph.by_name[graph.output].tensors["bias"].astype(np.int64)
        return cls(graph.steps, graph.name, PixelCode.of_graph(graph), graph.output_scale, bias, names)

    @classmethod
    def read(cls, container: Container, findings: list[Finding]) -> Own | None:
        """What a file has; None where neurodeploy did not write it, or with a finding where it is damaged."""
        if f"/{GROUP}" not in container.groups:
            return None
        fields = Fields(container, f"/{GROUP}", findings)
        before = len(findings)
        steps, events, low, high = (fields.integer(name) for name in ("steps", "events", "lo", "hi"))
        step, scale, bias = fields.real("step"), fields.real("output_scale"), fields.array("bias", 1, MOST_BIAS)
        name = fields.text("name")
        names = Names(*(_named(fields.group(kind)) for kind in ("synapse", "neuron")))
        given = [*names.synapse.values(), *names.neuron.values()]
        if len(set(given)) < len(given):
            fields.damaged("a name of its own for each layer", f"{len(given)} names, {len(set(given))} different")
        if steps is None or low is None or high is None or bias is None or len(findings) > before:
            return None
        exact = fields.arrays["bias"].dtype.kind in "iu"
        if not exact or events not in (0, 1):
            fields.damaged(
                "a bias of integers, and `events` of 0 or 1", f"{bias.dtype}, {events}" if exact else "fractions"
            )
            return None
        if not (low <= 0 < high and high - low < 256 and low >= -128 and 0 < steps <= MAX_STEPS):
            fields.damaged(f"an 8-bit code around zero, and 1..{MAX_STEPS} time steps", f"{low}..{high}, {steps} steps")
            return None
        return cls(steps, name, PixelCode(step, Interval(low, high), bool(events)), scale, bias, names)

    def facts(self) -> Iterator[tuple[str, object]]:
        """Path within the group -> value."""
        yield from (("steps", self.steps), ("name", self.name), ("step", self.code.step), ("events", self.code.events))
        yield from (("lo", self.code.interval.lo), ("hi", self.code.interval.hi))
        yield from (("output_scale", self.scale), ("bias", self.bias))
        for kind, names in (("synapse", self.names.synapse), ("neuron", self.names.neuron)):
            yield from ((f"{kind}/{path.rpartition('/')[2]}", name) for path, name in names.items())

    def restored(self, graph: Graph, file: Path) -> Graph:
        """A graph that was read, with the logits' bias and scale, and the name. Raises InvalidFileError."""
        end = graph.by_name[graph.output]
        needed = end.tensors["bias"].shape
        if self.bias.shape != needed:
            need, have = f"`bias` of {needed[0]} values, one a logit", f"shape {list(self.bias.shape)}"
            raise_all([Finding(DAMAGED, f"/{GROUP}", need, have, AGAIN)], file)
        share = graph.steps / self.steps  # logits are sums over T, and so is what the host adds
        bias = self.bias if share == 1 else np.rint(self.bias * share)
        last = replace(end, tensors={"bias": tensor(bias, np.int64)})
        nodes = tuple(last if node is end else node for node in graph.nodes)
        name = self.name if self.name.isprintable() and self.name else graph.name
        return replace(graph, name=name, output_scale=self.scale / share, nodes=nodes)


def _named(fields: Fields) -> dict[str, str]:
    return {f"/layer/{place}": name for place, name in fields.texts.items() if name.isprintable() and name}
