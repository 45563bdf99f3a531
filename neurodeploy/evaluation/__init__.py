"""Does it still work, and do all executors agree: accuracy metrics, and the first divergence between runs.

Not called `evaluate`: a subpackage of that name would hide the public function `neurodeploy.evaluate`.
"""

from neurodeploy.evaluation.compare import Comparison, Divergence, Run, compare_runs, joined
from neurodeploy.evaluation.metrics import Evaluation, FiringRates, check_labels, evaluate_logits

__all__ = [
    "Comparison",
    "Divergence",
    "Evaluation",
    "FiringRates",
    "Run",
    "check_labels",
    "compare_runs",
    "evaluate_logits",
    "joined",
]
