"""The table of docs/models.md is what the models give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.torch]


def test_table_of_the_documentation() -> None:
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "published.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
