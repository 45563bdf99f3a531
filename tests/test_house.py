"""The promises of the whole package: a light import, a small public face, small files, layered imports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import neurodeploy
from tests.check_sizes import MAX_FILE, findings, long_functions

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "onnxruntime", "lava", "spikingjelly"}
PUBLIC = [
    *("CompiledModel", "__version__", "compare", "compile", "evaluate", "evaluate_crossbar", "load", "sensitivity"),
    *("finetune", "prepare_finetuning"),
    *("export_netx", "load_netx", "load_slayer"),
]


def fresh(code: str) -> str:
    """Run the code in a new interpreter outside the checkout's folder and return what it prints."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_import_loads_no_heavy_package() -> None:
    loaded = fresh("import sys, neurodeploy; print(*{name.partition('.')[0] for name in sys.modules})")
    assert not HEAVY & set(loaded.split())


def test_the_command_line_loads_no_package_before_a_command_runs() -> None:
    """It starts at once, and what is broken is named by the command that needs it."""
    loaded = fresh("import sys, neurodeploy.cli.app; print(*{name.partition('.')[0] for name in sys.modules})")
    assert not (HEAVY | {"networkx", "numpy", "onnx"}) & set(loaded.split())


def test_import_takes_under_300_ms() -> None:
    code = "import time; t = time.perf_counter(); import neurodeploy; print(time.perf_counter() - t)"
    assert min(float(fresh(code)) for _ in range(3)) < 0.3


def test_public_surface_is_the_documented_one() -> None:
    assert sorted(neurodeploy.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(neurodeploy))


def test_every_public_name_resolves() -> None:
    for name in PUBLIC:
        assert getattr(neurodeploy, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'deploy'"):
        neurodeploy.deploy  # noqa: B018


def test_version_is_that_of_pyproject() -> None:
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared and declared[1] == neurodeploy.__version__


def test_files_and_functions_are_small() -> None:
    assert findings() == []


def test_size_check_finds_what_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "neurodeploy").mkdir()
    (tmp_path / "neurodeploy" / "long.py").write_text("x = 1\n" * (MAX_FILE + 1))
    assert findings(tmp_path) == [f"neurodeploy/long.py: {MAX_FILE + 1} lines, at most {MAX_FILE}"]
    assert list(long_functions("def f():\n" + "    x = 1\n" * 3, limit=3)) == [(1, "f", 4)]


def test_a_finding_code_means_one_thing() -> None:
    """Each stands in one module, where it can be seen that all its findings are of one kind."""
    places: dict[str, set[str]] = {}
    for file in (ROOT / "neurodeploy").rglob("*.py"):
        for code in re.findall(r'"(ND-[A-Z]\d{3})"', file.read_text()):
            places.setdefault(code, set()).add(str(file.relative_to(ROOT)))
    assert len(places) > 50
    assert {code: files for code, files in places.items() if len(files) > 1} == {}


def check_contracts(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the package under the root; -S keeps an editable install of another one out."""
    linter = pytest.importorskip("importlinter", reason="import-linter is a tool of the development environment")
    paths = os.pathsep.join([str(root), str(Path(linter.__file__).parent.parent)])
    command = [sys.executable, "-S", "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    return subprocess.run(
        [*command, "--no-cache"],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )


def test_import_contracts_are_kept() -> None:
    run = check_contracts(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


CROSSINGS = [
    ("numerics", "from neurodeploy import ir", "neurodeploy.numerics -> neurodeploy.ir"),
    ("ir/bad", "import torch", "neurodeploy.ir.bad -> torch"),
    ("models/bad", "from neurodeploy import backends", "neurodeploy.models.bad -> neurodeploy.backends"),
    ("backends/reference/bad", "import onnxruntime", "neurodeploy.backends.reference.bad -> onnxruntime"),
    ("backends/onnx/bad", "import lava.magma", "neurodeploy.backends.onnx.bad -> lava"),
    (
        "backends/lava/bad",
        "from neurodeploy.backends import onnx",
        "backends.lava.bad -> neurodeploy.backends.onnx",
    ),
]


def test_import_contracts_catch_crossings(tmp_path: Path) -> None:
    """One planted import a rule; the linter names each of them."""
    shutil.copytree(ROOT / "neurodeploy", tmp_path / "neurodeploy")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, line, _ in CROSSINGS:
        path = tmp_path / f"neurodeploy/{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(line + "\n")
    run = check_contracts(tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    assert [named for *_, named in CROSSINGS if named not in run.stdout] == []
