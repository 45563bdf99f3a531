"""What a box of neurons needs, counted from patterns, exactly and without listing synapses."""

from __future__ import annotations

from neurodeploy.ir.chip import Box, Synapses


def sources_of(synapses: Synapses, box: Box) -> Box | None:
    """The bounding box, in the source's shape, of the axons that reach the box of the target; None where none does."""
    raise NotImplementedError


def axons_of(synapses: Synapses, box: Box) -> int:
    """Different axons of the source that reach the box of the target."""
    raise NotImplementedError


def synapses_of(synapses: Synapses, box: Box) -> int:
    """Synapses into the box, those of weight zero included."""
    raise NotImplementedError


def weights_of(synapses: Synapses, box: Box) -> int:
    """Weights that the box's synapses need where they may be shared: different entries of the pattern's weight."""
    raise NotImplementedError


def fan_in(synapses: Synapses, box: Box) -> int:
    """The most synapses of this pattern that one neuron of the box has."""
    raise NotImplementedError
