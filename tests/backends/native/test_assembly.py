"""The tile keeps its sums in registers: the compiler's own assembly has no load or store of them on the stack."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[3] / "native"
COMPILER = shutil.which("c++")
CMAKE = (NATIVE / "CMakeLists.txt").read_text()


def flags(path: str) -> list[str]:
    """The flags of a processor path, as CMakeLists.txt has them."""
    (own,) = re.findall(rf"set\(FLAGS_{path} (.*)\)", CMAKE)
    return [flag for word in own.split() for flag in (flags("avx2") if word == "${FLAGS_avx2}" else [word])]


def shipped(path: str) -> list[str]:
    """The command line of a kernel of a release build, without its files."""
    (release,) = re.findall(r'set\(CMAKE_CXX_FLAGS_RELEASE "(-O\d)"\)', CMAKE)
    (standard,) = re.findall(r"set\(CMAKE_CXX_STANDARD (\d+)\)", CMAKE)
    (common,) = re.findall(r"set\(FLAGS_kernels (.*)\)", CMAKE)
    return [release, "-fPIC", f"-std=gnu++{standard}", "-DND_X86", f"-DND_PATH={path}", *common.split(), *flags(path)]


def functions(assembly: str) -> dict[str, str]:
    """The body of each function, by its name with template arguments."""
    parts = re.split(r"^(\S.*):\s*$", assembly, flags=re.MULTILINE)
    bodies: dict[str, str] = {}
    name = ""
    for label, text in zip(parts[1::2], parts[2::2], strict=True):
        name = name if label.startswith(".L") else label
        bodies[name] = bodies.get(name, "") + text
    return bodies


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="assembly of x86-64")
@pytest.mark.skipif(COMPILER is None or shutil.which("c++filt") is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    ("path", "file", "name", "register"),
    [
        ("avx512", "tile", "tile_of", "zmm"),
        ("avx2", "tile", "rows_of", "ymm"),
        ("avx512", "lookup", "tables_of", "zmm"),
    ],
)
def test_no_sum_of_a_tile_is_spilled(path: str, file: str, name: str, register: str) -> None:
    source = str(NATIVE / "kernels" / f"{file}.cpp")
    command = [str(COMPILER), *shipped(path), "-S", "-o", "-", source]
    assembly = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    readable = subprocess.run(["c++filt"], input=assembly, check=True, capture_output=True, text=True).stdout
    tiles = {label: body for label, body in functions(readable).items() if f"{name}<" in label}
    assert tiles
    for label, body in tiles.items():
        spilled = [line for line in body.splitlines() if register in line and re.search(r"\(%r[sb]p", line)]
        assert spilled == [], f"{label}: {len(spilled)} accesses to the stack"


def test_the_flags_are_those_of_the_build() -> None:
    assert {"-O3", "-fPIC", "-std=gnu++17", "-fno-trapping-math", "-mavx2", "-mavx512vnni"} <= set(shipped("avx512"))
    assert "${FLAGS_kernels}" in CMAKE
