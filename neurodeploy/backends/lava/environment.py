"""Finds the Python 3.10 that has lava-nc, and makes one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from neurodeploy.backends.lava.lock import only_one
from neurodeploy.backends.lava.runtime.main import LAVA_VERSION
from neurodeploy.errors import EnvironmentMissingError, Finding, LimitExceededError, UsageError

VARIABLE = "NEURODEPLOY_LAVA_PYTHON"
PYTHON_VERSION = "3.10"  # lava-nc 0.10.0 does not import on 3.11 and later
LOCAL = ".venv-lava"
CHECKOUT = Path(__file__).resolve().parents[3]
MARK = "made-by-neurodeploy"  # file in an environment that set-up may remove again
LAVA_DL_VERSION = "0.6.0"
PACKAGES = (f"lava-nc=={LAVA_VERSION}",)
DL_PACKAGES = (*PACKAGES, f"lava-dl=={LAVA_DL_VERSION}", "setuptools")  # torch's cpp_extension imports setuptools
MEND = f"run `neurodeploy lava setup`, or set {VARIABLE} to a Python 3.10 that has lava-nc {LAVA_VERSION}"
MEND += "; `neurodeploy compare --backends reference,native,onnx` does without"
MEND_DL = (
    f"run `neurodeploy lava setup --with-dl`, or set {VARIABLE} to a Python 3.10 that has lava-dl {LAVA_DL_VERSION}"
)
INSPECT_SECONDS = 60
FACT_LENGTH = 40  # characters of a version, at most
INSPECT = """
import json, platform
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
found = {"version": platform.python_version(), "lava": version("lava-nc"), "numpy": version("numpy")}
print(json.dumps({**found, "lava_dl": version("lava-dl")}))
"""


@dataclass(frozen=True)
class LavaEnvironment:
    """A Python that runs Lava. origin: how it was found.  lava_dl: its version, "" where lava-dl is not there."""

    python: Path
    origin: str
    version: str
    lava: str
    numpy: str
    lava_dl: str = ""

    def lacks(self, with_dl: bool) -> str:
        """What is missing for what is asked of it, "" where nothing is."""
        if not with_dl or self.lava_dl == LAVA_DL_VERSION:
            return ""
        return f"lava-dl is {self.lava_dl}" if self.lava_dl else "it has no lava-dl"


def find(with_dl: bool = False) -> LavaEnvironment:
    """The first usable of: $NEURODEPLOY_LAVA_PYTHON, the running Python, the project's .venv-lava or else
    that of the checkout that neurodeploy runs from, the user's cache. with_dl: one without lava-dl is not usable.

    The variable, where set, is used or refused: nothing else is tried. Raises EnvironmentMissingError, which says
    what was tried and what was wrong with it.
    """
    tried = []
    try:
        for origin, python in _candidates():
            environment, problem = _inspect(python, origin)
            problem = problem or (environment.lacks(with_dl) if environment else "")
            if environment and not problem:
                return environment
            tried.append(f"{origin} {python}: {problem}")
    except (OSError, RuntimeError) as error:  # no home folder, no working directory
        tried.append(str(error))
    need = f"a Python {PYTHON_VERSION} with lava-nc {LAVA_VERSION}" + (
        f", lava-dl {LAVA_DL_VERSION}" if with_dl else ""
    )
    mend = MEND_DL if with_dl else MEND
    raise EnvironmentMissingError(Finding("ND-B150", "", need, "; ".join(tried) or "none", mend))


def probe() -> dict[str, object]:
    """Facts for `doctor`: found, and either what LavaEnvironment has, or problem and mend. Never raises."""
    try:
        facts = asdict(find())
    except EnvironmentMissingError as error:
        return {"found": False, "problem": error.findings[0].have, "mend": error.findings[0].next}
    return {"found": True, **facts, "python": str(facts["python"])}


def setup(
    path: Path | None = None, progress: Callable[[str], None] = lambda line: None, with_dl: bool = False
) -> LavaEnvironment:
    """Make the environment with uv, in the user's cache unless `path` is given; one that works is kept as it is.

    with_dl: lava-dl as well, also into an environment that set-up made without; with the torch that it wants some 6 GB,
    less where uv is told of CPU builds (UV_TORCH_BACKEND=cpu).
    One set-up at a time works on a path; the others wait, and find what it made. What is half made is removed when
    something fails. Raises EnvironmentMissingError without uv or Python 3.10, UsageError where `path` holds what set-up
    did not make or cannot be written, LimitExceededError where the installation fails.
    """
    try:
        path = (path or cache_path()).expanduser().absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        wait = f"another set-up is at work in {path}: waiting for it"
        with only_one(path.with_name(f".{path.name}.lock"), lambda: progress(wait)):
            found = _found(path, progress)
            if found is None:
                return _made(path, progress, with_dl)
            return _with_dl(found, path, progress) if found.lacks(with_dl) else found
    except (OSError, RuntimeError) as error:  # RuntimeError: no home folder
        finding = Finding("ND-B156", "", "a folder that can be written", str(error), "choose another path", str(path))
        raise UsageError(finding) from error


def _found(path: Path, progress: Callable[[str], None]) -> LavaEnvironment | None:
    """The environment that stands at the path; one of ours that does not work is removed."""
    if not path.exists():
        return None
    environment, problem = _inspect(_python_of(path), "setup")
    if environment:
        return environment
    if path != cache_path() and not (path / MARK).is_file():
        have = f"{path}, which `neurodeploy lava setup` did not make: {problem}"
        raise UsageError(Finding("ND-B151", "", "a folder that does not exist yet", have, "choose another path"))
    progress(f"removing {path}: {problem}")
    shutil.rmtree(path)
    return None


def _with_dl(found: LavaEnvironment, path: Path, progress: Callable[[str], None]) -> LavaEnvironment:
    """Add lava-dl to an environment of ours; where that fails, it is left with lava-nc as it was."""
    if path != cache_path() and not (path / MARK).is_file():
        have = f"{path}, which `neurodeploy lava setup` did not make: {found.lacks(with_dl=True)}"
        mend = f"choose another path, or add lava-dl {LAVA_DL_VERSION} to it by hand"
        raise UsageError(Finding("ND-B151", "", "an environment that set-up made", have, mend))
    return _installed(_uv(), path, DL_PACKAGES, progress)


def _made(path: Path, progress: Callable[[str], None], with_dl: bool) -> LavaEnvironment:
    uv, base = _uv(), _python_base()
    try:
        progress(f"making {path} with Python {base}")
        _install([uv, "venv", "--quiet", "--python", base, str(path)])
        (path / MARK).touch()
        return _installed(uv, path, DL_PACKAGES if with_dl else PACKAGES, progress)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def _installed(uv: str, path: Path, packages: tuple[str, ...], progress: Callable[[str], None]) -> LavaEnvironment:
    """Install packages into an environment; raises LimitExceededError where it does not work afterwards."""
    with_dl = packages == DL_PACKAGES
    progress(f"installing {', '.join(packages)}" + (": torch, some GB, minutes" if with_dl else ""))
    _install([uv, "pip", "install", "--quiet", "--python", str(_python_of(path)), *packages])
    environment, problem = _inspect(_python_of(path), "setup")
    problem = problem or (environment.lacks(with_dl) if environment else "")
    if environment is None or problem:
        mend = MEND_DL if with_dl else MEND
        raise LimitExceededError(Finding("ND-B152", "", "an environment that works", problem, mend))
    return environment


def clean_environ(python: Path) -> dict[str, str]:
    """The variables for a child; what this Python imports from is none of another Python's business."""
    foreign = str(python) != sys.executable
    return {k: v for k, v in os.environ.items() if not (foreign and k in ("PYTHONPATH", "PYTHONHOME"))}


def cache_path() -> Path:
    """Where `setup` puts the environment."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "neurodeploy" / "lava"


def _candidates() -> Iterator[tuple[str, Path]]:
    if VARIABLE in os.environ:
        yield f"${VARIABLE}", Path(os.environ[VARIABLE]).expanduser().absolute()
        return
    yield "running Python", Path(sys.executable)
    project = _project_folder(Path.cwd())
    if project:
        yield "project", _python_of(project / LOCAL)
    elif (CHECKOUT / LOCAL).is_dir():  # an editable install, used from elsewhere
        yield "checkout", _python_of(CHECKOUT / LOCAL)
    yield "cache", _python_of(cache_path())


def _project_folder(start: Path) -> Path | None:
    """The nearest folder upwards with a .venv-lava, not beyond the project that `start` lies in."""
    for folder in (start, *start.parents):
        if (folder / LOCAL).is_dir():
            return folder
        if (folder / "pyproject.toml").is_file() or (folder / ".git").exists():
            return None
    return None


def _python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def _inspect(python: Path, origin: str) -> tuple[LavaEnvironment | None, str]:
    """The environment of a Python, or what is wrong with it."""
    facts, problem = _ask(python)
    if problem:
        return None, problem
    if not facts["version"].startswith(f"{PYTHON_VERSION}."):
        return None, f"it is Python {facts['version']}"
    if facts["lava"] != LAVA_VERSION:
        return None, f"lava-nc is {facts['lava']}" if facts["lava"] else "it has no lava-nc"
    return LavaEnvironment(python, origin, **facts), ""


def _ask(python: Path) -> tuple[dict[str, str], str]:
    """The facts that a Python prints of itself: version, lava, numpy; or what is wrong with it."""
    try:
        if not python.is_file():
            return {}, "does not exist"
        done = subprocess.run(
            [str(python), "-c", INSPECT],
            capture_output=True,
            text=True,
            timeout=INSPECT_SECONDS,
            check=True,
            env=clean_environ(python),
        )
        facts = json.loads(done.stdout)
        found = {key: facts[key][:FACT_LENGTH] for key in ("version", "lava", "numpy")}
        return {**found, "lava_dl": facts.get("lava_dl", "")[:FACT_LENGTH]}, ""
    except (OSError, ValueError, RecursionError, subprocess.SubprocessError) as error:
        return {}, f"does not run: {error}"
    except (AttributeError, LookupError, TypeError):
        return {}, "does not answer as a Python does"


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise EnvironmentMissingError(Finding("ND-B153", "", "uv", "it is not on the PATH", "run `pip install uv`"))
    return found


def _python_base() -> str:
    """A Python 3.10 that runs: on the PATH (a pyenv shim may be there and fail), of pyenv, else what uv may fetch."""
    name = f"python{PYTHON_VERSION}"
    on_path = [Path(folder) / name for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for python in (*on_path, *sorted(pyenv.glob(f"{PYTHON_VERSION}*/bin/{name}"), reverse=True)):
        if python.is_file() and _ask(python)[0].get("version", "").startswith(f"{PYTHON_VERSION}."):
            return str(python)
    return PYTHON_VERSION


def _install(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return
    last = " ".join(done.stderr.split())[-400:] or f"exit code {done.returncode}"
    if command[1] == "venv":
        mend = f"install Python {PYTHON_VERSION} (for example `pyenv install {PYTHON_VERSION}`), then try again"
        raise EnvironmentMissingError(Finding("ND-B154", "", f"Python {PYTHON_VERSION}", last, mend))
    mend = "check the network and the package index, then try again"
    need = f"{', '.join(part for part in command if '==' in part)} installed"
    raise LimitExceededError(Finding("ND-B155", "", need, last, mend))
