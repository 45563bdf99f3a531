"""docs/targets.md says what the schema says: every table, every key, and nothing that is no more."""

from __future__ import annotations

import re
from pathlib import Path

from neurodeploy.targets.schema import FLAG, KINDS, SCHEMA, STATUSES, TEXTS, Key, Table

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "targets.md").read_text(encoding="utf-8")


def row(key: str, spec: Key, table: Table) -> str:
    unit = f"{spec.unit}, or a list" if spec.listed else spec.unit
    of = ", ".join(f"`{feature}`" for feature in spec.of or table.of)
    least = "" if spec.unit == FLAG else spec.least
    return f"| `{key}` | {unit} | {least} | {of} | {spec.what} |"


def sections() -> dict[str, str]:
    """The text under the heading of each table."""
    tables = PAGE.partition("## Tables\n")[2].partition("\n## ")[0]
    parts = re.split(r"^### `\[(\w+)\]`\n", tables, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_page_has_every_table_in_order_and_no_other() -> None:
    assert list(sections()) == list(SCHEMA)


def test_the_page_has_every_key_with_unit_and_meaning_and_no_other() -> None:
    for name, table in SCHEMA.items():
        section = sections()[name]
        assert f"{table.what}." in section
        rows = re.findall(r"^\| `.*$", section, re.MULTILINE)
        assert rows == [row(key, spec, table) for key, spec in table.keys.items()]


def test_the_page_names_kinds_texts_statuses_and_which_tables_each_kind_has() -> None:
    assert all(f'"{kind}"' in PAGE for kind in KINDS)
    assert all(f"| `{status}` |" in PAGE for status in STATUSES)
    assert all(f"{text} = " in PAGE for text in TEXTS)
    for kind in ("cores", "crossbar"):
        asked = " ".join(n for n, t in SCHEMA.items() if kind in t.of and not t.optional)
        assert f'| `kind = "{kind}"` | `{asked}`;' in PAGE
