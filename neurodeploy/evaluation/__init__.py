"""Does it still work, and do all executors agree: accuracy metrics, and the first divergence between runs.

Not called `evaluate`: a subpackage of that name would hide the public function `neurodeploy.evaluate`.
"""

from neurodeploy.evaluation.compare import Comparison, Divergence, Run, compare_on, compare_runs, joined
from neurodeploy.evaluation.crossbars import CrossbarEvaluation, CrossbarSetting, crossbar_setting
from neurodeploy.evaluation.metrics import Evaluation, FiringRates, accuracy, check_labels, evaluate_logits
from neurodeploy.evaluation.operations import ActivityMeter, Operations, count_operations, measured_values

__all__ = [
    "ActivityMeter",
    "Comparison",
    "CrossbarEvaluation",
    "CrossbarSetting",
    "Divergence",
    "Evaluation",
    "FiringRates",
    "Operations",
    "Run",
    "accuracy",
    "check_labels",
    "compare_on",
    "compare_runs",
    "count_operations",
    "crossbar_setting",
    "evaluate_logits",
    "joined",
    "measured_values",
]
