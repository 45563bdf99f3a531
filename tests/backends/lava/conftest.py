"""The Python that has Lava; a test that asks for it fails where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodeploy.backends.lava import environment


@pytest.fixture(scope="session")
def lava_python() -> Path:
    return environment.find().python
