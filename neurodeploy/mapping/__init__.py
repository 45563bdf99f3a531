"""From the quantized graph to populations and crossbars: only what the chip has."""

from neurodeploy.mapping.lower import lower
from neurodeploy.mapping.reassociate import AttentionOrder, reassociate

__all__ = ["AttentionOrder", "lower", "reassociate"]
