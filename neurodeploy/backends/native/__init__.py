"""Compiled kernels, one set for each kind of processor; every set gives the same integers."""

from neurodeploy.backends.native.backend import profile, run
from neurodeploy.backends.native.engine import MEND, MISSING, available, paths

__all__ = ["MEND", "MISSING", "available", "paths", "profile", "run"]
