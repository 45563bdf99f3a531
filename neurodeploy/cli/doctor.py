"""neurodeploy doctor: what works here, what is missing, and how to mend it."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict, dataclass
from importlib import import_module

from neurodeploy.cli import options
from neurodeploy.cli.output import Output
from neurodeploy.versions import installed

OK, MISSING, BROKEN = "ok", "missing", "broken"
PACKAGES = (
    ("numpy", "everything", "pip install --force-reinstall neurodeploy"),
    ("networkx", "everything", "pip install --force-reinstall neurodeploy"),
    ("onnx", "artefacts", "pip install --force-reinstall neurodeploy"),
    ("torch", "compile, and the float model in evaluate", "pip install 'neurodeploy[torch]'"),
    ("spikingjelly", "neurodeploy.models", "pip install 'neurodeploy[torch]'"),
    ("onnxruntime", "backend onnx", "pip install 'neurodeploy[onnxruntime]'"),
)


@dataclass(frozen=True)
class Check:
    """One thing that was tried. state: ok, missing or broken. mend: the command that helps, "" where it works."""

    name: str
    state: str
    found: str
    needed_for: str
    mend: str = ""


@options.command("doctor", "What works here, and how to mend what does not.")
def doctor(output: Output) -> None:
    """What works here, what is missing, and the command that mends it."""
    from neurodeploy.report import text

    checks = [_python(), *map(_package, *zip(*PACKAGES, strict=True)), _native(), _lava(), *_targets()]
    document = {"ok": all(check.state == OK for check in checks), "checks": [asdict(check) for check in checks]}
    rows = [(c.name, c.state, c.found, c.needed_for, c.mend) for c in checks]
    output.result(document, text.table("neurodeploy doctor", ("what", "state", "found", "needed for", "mend"), rows))


def _python() -> Check:
    good = (3, 10) <= sys.version_info[:2] <= (3, 13)
    mend = "" if good else "use Python 3.10 to 3.13"
    return Check("python", OK if good else BROKEN, platform.python_version(), "everything", mend)


def _package(name: str, needed_for: str, mend: str) -> Check:
    """Import a package: that it is installed does not say that it works."""
    found = installed(name)
    if not found:
        return Check(name, MISSING, "", needed_for, mend)
    try:
        import_module(name)
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises
        return Check(name, BROKEN, f"{type(error).__name__}: {error}", needed_for, mend)
    return Check(name, OK, found, needed_for)


def _native() -> Check:
    from neurodeploy.backends import native

    if native.available():
        return Check("native", OK, f"processor paths {', '.join(native.paths())}", "backend native")
    return Check("native", MISSING, "no compiled extension", "backend native", native.MEND)


def _lava() -> Check:
    from neurodeploy.backends.lava import environment

    facts, use = environment.probe(), "backend lava"
    if facts["found"]:
        return Check("lava-nc", OK, f"{facts['lava']}, Python {facts['version']}, {facts['python']}", use)
    return Check("lava-nc", MISSING, str(facts["problem"]), use, str(facts["mend"]))


def _targets() -> list[Check]:
    from neurodeploy.targets import available

    missing = Check("targets", MISSING, "", "compile", "pip install --force-reinstall neurodeploy")
    return [_target(name) for name in available()] or [missing]


def _target(name: str) -> Check:
    from neurodeploy.errors import NeurodeployError
    from neurodeploy.targets import load_target

    try:
        return Check(f"target {name}", OK, load_target(name).file, "compile")
    except NeurodeployError as error:
        return Check(f"target {name}", BROKEN, error.findings[0].have, "compile", error.findings[0].next)
