"""Fine-tuning that is exact: modules whose forward pass computes the integer network itself."""

from neurodeploy.finetune.network import IntegerNetwork

__all__ = ["IntegerNetwork"]
