"""Tables at every width: no line is longer, no word of a header and no number breaks, and nothing is lost."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from neurodeploy.report.text import table

COLUMNS = ("layer", "custom neurons #", "of all used cores #", "binds")
ROWS = [
    ("stage1.0.mlp.mlp1_lif", 18_517_632, 99.5, "synapse_memory"),
    ("patch_embed1.proj_maxpool/axis2/relu1", 7, None, "the neurons of the core that holds most of them by far"),
]


def shown(width: int, columns: tuple[str, ...] = COLUMNS, rows: object = None) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(table("Title", columns, rows or ROWS, "a caption"))
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 50, 60, 72, 80, 100, 120, 240])
def test_words_and_numbers_are_whole_and_lines_fit(width: int) -> None:
    found = shown(width)
    assert max(map(len, found.splitlines())) <= width
    for word in ("Title", "caption", "18,517,632", "99.5", "synapse_memory"):
        assert word in found
    for header in COLUMNS[1:]:
        assert all(word in found for word in header.rstrip("# ").split())


def test_wide_ones_are_tables_and_narrow_ones_blocks() -> None:
    assert "│" in shown(120) and "│" not in shown(40)
    block = shown(40).splitlines()
    assert block[1].rstrip() == "stage1.0.mlp.mlp1_lif"
    assert [line.split()[0] for line in block[2:5]] == ["custom", "of", "binds"]
    assert "99.5" in block[3] and not any(line.split()[-1:] == ["-"] for line in block)


def test_a_number_at_the_head_of_a_block_says_what_it_is() -> None:
    assert "ADC bits 5" in shown(30, ("ADC bits #", "what"), [("5", "word " * 100)])


def test_cells_of_many_lines_make_blocks() -> None:
    long = [("a", "word " * 100)]
    assert "│" not in shown(60, ("one", "two"), long) and "│" in shown(200, ("one", "two"), long)
    assert shown(60, ("one", "two"), long).count("word") == 100


def test_without_names_there_is_no_header() -> None:
    assert "┡" not in shown(80, ("", "#"), [("fits", True)])
    assert "yes" in shown(10, ("", "#"), [("a long name of nothing", True)])
