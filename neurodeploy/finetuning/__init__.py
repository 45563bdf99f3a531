"""Fine-tuning that is exact: modules whose forward pass computes the integer network itself."""

from neurodeploy.finetuning.network import IntegerNetwork, chosen_surrogate
from neurodeploy.finetuning.recipe import Recipe
from neurodeploy.finetuning.samples import Samples, check_teacher, divided
from neurodeploy.finetuning.training import Hooks, Training

__all__ = ["Hooks", "IntegerNetwork", "Recipe", "Samples", "Training", "check_teacher", "chosen_surrogate", "divided"]
