"""The documentation names everything that it says it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neurodeploy.ir.graph import Stage
from neurodeploy.ir.ops import OPS

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("op", sorted(name for name, op in OPS.items() if Stage.QUANTIZED in op.stages))
def test_every_quantized_op_has_a_row_in_the_lowering(op: str) -> None:
    rows = re.findall(r"^\| (.*?) \|", (DOCS / "lowering.md").read_text(), re.MULTILINE)
    assert any(f"`{op}`" in row for row in rows)
