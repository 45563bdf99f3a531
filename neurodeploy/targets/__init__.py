"""Targets: chips, or the CPU alone; one TOML file each, every number with unit, source and status."""

from neurodeploy.targets.loader import available, load_target
from neurodeploy.targets.target import Fact, Target

__all__ = ["Fact", "Target", "available", "load_target"]
