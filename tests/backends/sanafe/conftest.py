"""The Python that has SANA-FE; a test that asks for it is skipped where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "NEURODEPLOY_SANAFE_PYTHON"


@pytest.fixture(scope="session")
def sanafe_python() -> Path:
    """The interpreter that the variable names, else this one, if it has sanafe; it is asked in a process of its own."""
    python = Path(os.environ.get(VARIABLE, sys.executable))
    code = "import importlib.util as u; raise SystemExit(not (u.find_spec('sanafe') and u.find_spec('numpy')))"
    if not python.is_file() or subprocess.run([python, "-c", code], check=False).returncode:
        pytest.skip(
            f"{python} has no sanafe, which is optional (GPL): pip install sanafe numpy, and name it in {VARIABLE}"
        )
    return python
