"""The README's Python runs from the repository's folder and prints what the README says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from neurodeploy.backends.lava import environment

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.lava
@pytest.mark.torch
def test_the_readmes_python_prints_what_it_says(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)
    assert found
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    lava = {environment.VARIABLE: str(environment.find().python)}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", found[1]],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **lava},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == found[2]


def test_every_file_that_the_readme_names_exists() -> None:
    named = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r"`((?:neurodeploy|examples|docs)/[\w./-]+)`", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
