"""What all tests share: hypothesis profiles, and which tests an environment cannot run, said aloud."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
from hypothesis import settings

settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

HAS_TORCH = find_spec("torch") is not None
# Without torch these cannot even be imported; other tests that need it are marked `torch`.
collect_ignore = [] if HAS_TORCH else ["finetuning", "frontend", "full_size", "models", "examples"]


def pytest_report_header() -> list[str]:
    """Say at the top of the run which folders are left out, and why."""
    return [f"no torch in this environment, left out: tests/{folder}" for folder in collect_ignore]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `torch` where torch is missing."""
    if HAS_TORCH:
        return
    for item in items:
        if item.get_closest_marker("torch"):
            item.add_marker(pytest.mark.skip(reason="needs torch"))
