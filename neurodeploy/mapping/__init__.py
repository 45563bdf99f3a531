"""From the quantized graph to populations and crossbars: only what the chip has."""

from neurodeploy.mapping.lower import lower
from neurodeploy.mapping.reassociate import reassociate

__all__ = ["lower", "reassociate"]
