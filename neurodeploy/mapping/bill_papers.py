"""The papers' convention as figures of the bill, beside the chip's own energy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from neurodeploy.mapping.bill_figures import Figure, counted, missing

SOURCE = (
    "45 nm, 32-bit floats: Horowitz, ISSCC 2014; no memory counted. The papers' convention, no prediction for a chip"
)


class Counted(Protocol):
    """`neurodeploy.evaluation.Operations`."""

    @property
    def convention(self) -> str: ...
    @property
    def samples(self) -> int: ...
    @property
    def macs(self) -> int: ...
    @property
    def sops(self) -> float | None: ...
    @property
    def energy(self) -> float | None: ...
    @property
    def constants(self) -> Mapping[str, float]: ...


def papers(found: Counted) -> tuple[Figure, ...]:
    """MACs a step, and with measured rates synaptic operations and energy of a sample."""
    macs = counted("MACs a step", found.macs, "MAC/step", "dense, all layers")
    constants = ", ".join(f"{key} {value}" for key, value in found.constants.items())
    energy = f"E_MAC x MACs of the layers that multiply ({found.convention}) + E_AC x SOPs [{constants}: {SOURCE}]"
    operations = "sum of rate x T x MACs of the layers that accumulate"
    if found.sops is None or found.energy is None:
        gone = ("firing rates (no images)",)
        return (
            macs,
            missing("SOPs a sample", "SOP", operations, gone, "measured"),
            missing("theoretical energy a sample", "mJ", energy, gone, "measured"),
        )
    said = f"{operations}, rates of {found.samples} samples"
    return (
        macs,
        counted("SOPs a sample", found.sops, "SOP", said, "measured"),
        Figure("theoretical energy a sample", found.energy, "mJ", "paper", energy, "measured"),
    )
