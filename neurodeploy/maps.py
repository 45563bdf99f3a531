"""The bill of a network on a chip, put together from lowering, reference run and mapping. `api` wraps it for users."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from neurodeploy.backends.result import RunResult
from neurodeploy.backends.sanafe.result import Document, cores_of, identity_of, read_result, require_same
from neurodeploy.evaluation import ActivityMeter, count_operations, measured_values
from neurodeploy.images import check_images
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.identity import identity
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.proof import Bound
from neurodeploy.mapping.bill import Asked, Bill, make_bill
from neurodeploy.mapping.bill_neurons import narrow_membranes
from neurodeploy.mapping.bill_papers import papers
from neurodeploy.mapping.bill_second import second_opinion
from neurodeploy.mapping.bill_stages import stages_of
from neurodeploy.mapping.prices import Choice, choose
from neurodeploy.mapping.tile_features import payload_bits
from neurodeploy.targets import Target, load_target

Stages = Callable[[str], None]
FilePath = str | PathLike[str]
FALLBACK = "loihi2"  # where no target is named and the artefact knows none


class Deployed(Protocol):
    """A `neurodeploy.api.CompiledModel`, as far as a mapping needs it."""

    @property
    def graph(self) -> Graph: ...
    @property
    def bounds(self) -> tuple[Bound, ...]: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    def run(self, images: object, backend: str = ..., **options: Any) -> RunResult: ...


def chip_of(graph: Graph, target: FilePath | None) -> Target:
    """The chip that is named, else the one that a network was compiled for."""
    return load_target(target or graph.metadata.get("target") or FALLBACK)


@dataclass
class _Measured:
    """A run of the reference on the images, made once; its means, for the papers' convention."""

    deployed: Deployed
    images: object
    means: ActivityMeter
    samples: int = 0

    def run(self, watch: Callable[[str, Any], None] | None = None) -> int:
        """The number of samples."""

        def both(name: str, values: Any) -> None:
            if watch is not None:
                watch(name, values)
            self.means.add(name, values)

        self.samples = len(self.deployed.run(self.images, "reference", batch=1, watch=both).logits)
        return self.samples


def bill_of(
    deployed: Deployed,
    target: FilePath | None,
    images: object,
    choice: Choice,
    sanafe: FilePath | None = None,
    progress: Stages | None = None,
) -> Bill:
    """The bill, see `api.CompiledModel.map`."""
    graph, chip, say = deployed.graph, chip_of(deployed.graph, target), progress or (lambda stage: None)
    result = None if sanafe is None else read_result(Path(sanafe))
    measured = _Measured(deployed, images, ActivityMeter(measured_values(graph)))
    say("prices of attention")
    chosen = choose(graph, chip, choice)
    if result is not None and sanafe is not None:
        require_same(result, graph.name, chip, sanafe_identity(graph, chip, chosen.choice), Path(sanafe))
    asked = Asked(graph.name, chip, choice.neurons, chosen.document(choice.attention), deployed.bounds)
    stages = stages_of(graph, chip, chosen.choice, measured.run if images is not None else None)
    bill = make_bill(asked, stages, progress)
    if images is not None and not measured.samples:  # a stage before the measurement has refused
        say("synaptic operations")
        measured.run()
    found = count_operations(graph, measured.means.activities() or None, measured.samples)
    bill = replace(bill, sections={**bill.sections, "papers' convention": papers(found)})
    if result is None:
        return bill
    return _beside(bill, result, None if images is None else _images(deployed, images))


def sanafe_identity(graph: Graph, chip: Target, choice: Choice) -> dict[str, Any]:
    """Of which network, chip and lowering a folder for SANA-FE is."""
    lowering = {"attention": choice.attention, "neurons": choice.neurons, "residual": choice.residual}
    return identity_of(identity(graph), chip, lowering)


def narrower_widths(deployed: Deployed, target: FilePath | None = None) -> list[str]:
    """What of a compiled network is wider than the chip, though its arithmetic's profile has room for it, in words."""
    chip = chip_of(deployed.graph, target)
    if chip.kind == "cpu":
        return []
    widest = max((payload_bits(b.interval) for b in deployed.bounds if b.quantity == "weight"), default=0)
    said = []
    if chip.weight_bits is not None and widest > chip.weight_bits:
        said.append(f"weights of {widest} bits, {chip.title} holds {chip.weight_bits}")
    wide = narrow_membranes(chip, deployed.bounds)
    return said + [f"membranes of {one.have} ({one.layer}), {chip.title} holds {one.need}" for one in wide]


def _beside(bill: Bill, result: Document, images: str | None) -> Bill:
    steps = 1 if bill.network is None else bill.network.steps * bill.network.period
    cores = None if bill.placement is None else cores_of(bill.placement)
    return replace(bill, second=second_opinion(bill.sections, result, steps, {"images": images, "cores": cores}))


def _images(deployed: Deployed, images: object) -> str:
    """Which images: a SHA-256 over their codes, as the exported program has it."""
    codes = PixelCode.of_graph(deployed.graph).encode(check_images(images, deployed.input_shape))
    return hashlib.sha256(codes.astype("<i8").tobytes()).hexdigest()
