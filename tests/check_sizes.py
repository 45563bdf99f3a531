"""Checks that files and functions stay small: ``python tests/check_sizes.py`` lists what is too long."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("neurodeploy", "examples", "benchmarks", "tests")
MAX_FILE, MAX_FUNCTION = 400, 60


def long_functions(source: str, limit: int = MAX_FUNCTION) -> Iterator[tuple[int, str, int]]:
    """Yield (line, name, length in lines) of every function of the source that is longer than the limit."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > limit:
                yield node.lineno, node.name, length


def findings(root: Path = ROOT) -> list[str]:
    """Name each Python file over MAX_FILE lines and each function over MAX_FUNCTION lines under the root."""
    found: list[str] = []
    for path in sorted(p for folder in FOLDERS for p in (root / folder).rglob("*.py")):
        source, name = path.read_text(encoding="utf-8"), path.relative_to(root)
        lines = source.count("\n")
        if lines > MAX_FILE:
            found.append(f"{name}: {lines} lines, at most {MAX_FILE}")
        found += [
            f"{name}:{line}: {function} has {length} lines, at most {MAX_FUNCTION}"
            for line, function, length in long_functions(source)
        ]
    return found


if __name__ == "__main__":
    problems = findings()
    print("\n".join(problems) or f"sizes: files up to {MAX_FILE} lines, functions up to {MAX_FUNCTION}: kept")
    sys.exit(bool(problems))
