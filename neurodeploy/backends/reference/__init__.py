"""The definition: obvious NumPy on int64, the graph step by step."""

from neurodeploy.backends.reference.backend import run
from neurodeploy.backends.reference.mapped import run_mapped

__all__ = ["run", "run_mapped"]
