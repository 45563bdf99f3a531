"""Where the Lava Python is looked for, what is said where there is none, and that set-up leaves nothing half made."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from neurodeploy.backends.lava import backend, environment
from neurodeploy.errors import EnvironmentMissingError, LimitExceededError, UsageError
from tests.backends.lava.graphs import every_kind, images_of

FACTS = '{"version": "3.10.13", "lava": "0.10.0", "numpy": "1.26.4"}'


INSTALLS = f"cat > \"$5\" <<'END'\n#!/bin/sh\necho '{FACTS}'\nEND"


def fake_python(path: Path, facts: str = FACTS) -> Path:
    """A program that answers as a Python would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{facts}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place without any Lava: no variable, an empty cache, a project of its own."""
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "executable", str(fake_python(tmp_path / "bin" / "python", FACTS.replace("0.10.0", ""))))
    monkeypatch.setattr(environment, "CHECKOUT", tmp_path / "checkout")
    project = tmp_path / "project" / "sub"
    project.mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").touch()
    monkeypatch.chdir(project)
    return tmp_path


def test_no_lava_is_one_clear_error(nowhere: Path) -> None:
    graph = every_kind(0)
    with pytest.raises(EnvironmentMissingError, match="neurodeploy lava setup") as caught:
        backend.run(graph, images_of(graph, 1))
    (finding,) = caught.value.findings
    assert "it has no lava-nc" in finding.have
    facts = environment.probe()
    assert facts["found"] is False
    assert "neurodeploy lava setup" in str(facts["mend"])


def test_the_order_of_the_search(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = fake_python(nowhere / "cache" / "neurodeploy" / "lava" / "bin" / "python")
    assert environment.find().python == cache
    checkout = fake_python(nowhere / "checkout" / ".venv-lava" / "bin" / "python")
    assert environment.find().python == checkout
    project = fake_python(nowhere / "project" / ".venv-lava" / "bin" / "python")
    assert environment.find().python == project
    own = fake_python(nowhere / "own" / "python")
    monkeypatch.setattr(sys, "executable", str(own))
    assert environment.find().python == own
    named = fake_python(nowhere / "named" / "python")
    monkeypatch.setenv(environment.VARIABLE, str(named))
    assert environment.find().python == named
    assert environment.probe()["lava"] == "0.10.0"


def test_a_project_beyond_ours_is_not_searched(nowhere: Path) -> None:
    fake_python(nowhere / ".venv-lava" / "bin" / "python")
    with pytest.raises(EnvironmentMissingError):
        environment.find()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (FACTS.replace("3.10.13", "3.11.7"), "Python 3.11.7"),
        (FACTS.replace("0.10.0", "0.9.0"), "lava-nc is 0.9.0"),
        (FACTS.replace("0.10.0", ""), "no lava-nc"),
        ("no json", "does not run"),
        ("[" * 99999, "does not run"),
        ("[1, 2]", "does not answer"),
        ("null", "does not answer"),
        ("{}", "does not answer"),
        (FACTS.replace('"3.10.13"', "3"), "does not answer"),
    ],
)
def test_a_named_python_that_does_not_do_is_refused(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, facts: str, said: str
) -> None:
    fake_python(nowhere / "project" / ".venv-lava" / "bin" / "python")
    monkeypatch.setenv(environment.VARIABLE, str(fake_python(nowhere / "named" / "python", facts)))
    with pytest.raises(EnvironmentMissingError, match=said):
        environment.find()
    assert said in str(environment.probe()["problem"])
    monkeypatch.setenv(environment.VARIABLE, str(nowhere / "gone"))
    with pytest.raises(EnvironmentMissingError, match="does not exist"):
        environment.find()


def fake_uv(folder: Path, install: str) -> Path:
    """A uv that makes an environment, and does `install` when it is asked to install."""
    uv = folder / "uv"
    uv.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = venv ]; then mkdir -p "$5/bin"; touch "$5/pyvenv.cfg"; '
        f"printf '#!/bin/sh\\necho \\047{FACTS.replace('0.10.0', '')}\\047\\n' > \"$5/bin/python\"; "
        'chmod +x "$5/bin/python"; exit 0; fi\n'
        f"{install}\n"
    )
    uv.chmod(0o755)
    return uv


def test_set_up_makes_an_environment_once(nowhere: Path) -> None:
    uv = fake_uv(nowhere / "bin", INSTALLS)
    lines: list[str] = []
    made = environment.setup(progress=lines.append)
    assert made.python == nowhere / "cache" / "neurodeploy" / "lava" / "bin" / "python"
    assert len(lines) == 2
    assert environment.find().python == made.python
    uv.unlink()
    assert environment.setup().python == made.python


@pytest.mark.parametrize("install", ["echo 'no network' >&2; exit 1", "exit 0"])
def test_a_set_up_that_fails_leaves_nothing(nowhere: Path, install: str) -> None:
    fake_uv(nowhere / "bin", install)
    with pytest.raises(LimitExceededError, match="no network" if "network" in install else "no lava-nc"):
        environment.setup(nowhere / "made")
    assert not (nowhere / "made").exists()


def test_set_up_needs_uv_and_never_removes_what_it_did_not_make(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EnvironmentMissingError, match="pip install uv"):
        environment.setup(nowhere / "made")
    fake_python(nowhere / "mine" / "bin" / "python", FACTS.replace("0.10.0", ""))
    for name in ("thesis.txt", "pyvenv.cfg"):
        (nowhere / "mine" / name).touch()
        with pytest.raises(UsageError, match="did not make: it has no lava-nc"):
            environment.setup(nowhere / "mine")
    assert (nowhere / "mine" / "thesis.txt").exists()


def test_doctor_survives_a_place_that_is_gone(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = nowhere / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert environment.probe()["found"] is False
    monkeypatch.setenv(environment.VARIABLE, "/" + "x" * 300)
    assert environment.probe()["found"] is False


@pytest.mark.parametrize("name", ["file/made", "x" * 300])
def test_set_up_where_nothing_can_be_written(nowhere: Path, name: str) -> None:
    (nowhere / "file").touch()
    fake_uv(nowhere / "bin", INSTALLS)
    with pytest.raises(UsageError, match="ND-B156"):
        environment.setup(nowhere / name)


@pytest.mark.parametrize(("install", "made"), [(INSTALLS, 1), (f"mkdir failed 2> failed.txt && exit 1; {INSTALLS}", 2)])
def test_two_set_ups_of_one_path_come_after_each_other(nowhere: Path, install: str, made: int) -> None:
    """The second waits, then finds what the first made; or makes it, where the first failed."""
    path, lines = nowhere / "made", list[str]()
    fake_uv(nowhere / "bin", f"sleep 0.5; {install}")
    results: dict[int, object] = {}

    def set_up(which: int) -> None:
        try:
            results[which] = environment.setup(path, lines.append).lava
        except LimitExceededError as error:
            results[which] = error.findings[0].code

    threads = [threading.Thread(target=set_up, args=(which,)) for which in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results.values())) == ["0.10.0"] * (4 - made) + ["ND-B155"] * (made - 1)
    assert sum(line.startswith("making") for line in lines) == made
    assert sum("waiting" in line for line in lines) == 2
    assert sorted(p.name for p in nowhere.iterdir() if "made" in p.name) == ["made"]


def test_set_up_makes_its_own_half_made_environment_again(nowhere: Path) -> None:
    fake_uv(nowhere / "bin", INSTALLS)
    made = environment.setup(nowhere / "made").python
    fake_python(made, FACTS.replace("0.10.0", ""))
    lines: list[str] = []
    assert environment.setup(nowhere / "made", lines.append).lava == "0.10.0"
    assert lines[0].startswith(f"removing {nowhere / 'made'}")


def test_a_shim_that_fails_is_passed_over(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = nowhere / "shims" / "python3.10"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    real = fake_python(nowhere / "pyenv" / "versions" / "3.10.13" / "bin" / "python3.10")
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}/usr/bin-none")
    monkeypatch.setenv("PYENV_ROOT", str(nowhere / "pyenv"))
    assert environment._python_base() == str(real)


def test_a_relative_path_counts_from_where_the_user_stands(
    monkeypatch: pytest.MonkeyPatch, lava_python: Path, tmp_path: Path
) -> None:
    (tmp_path / "env").symlink_to(lava_python.parent.parent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(environment.VARIABLE, "env/bin/python")
    assert environment.find().python == tmp_path / "env" / "bin" / "python"


WITH_DL = FACTS.replace("}", ', "lava_dl": "0.6.0"}')


def test_lava_dl_is_looked_for_beyond_what_has_lava_alone(nowhere: Path) -> None:
    fake_python(nowhere / "project" / ".venv-lava" / "bin" / "python")
    cache = fake_python(
        nowhere / "cache" / "neurodeploy" / "lava" / "bin" / "python", WITH_DL.replace("0.6.0", "0.5.0")
    )
    with pytest.raises(EnvironmentMissingError, match="--with-dl") as caught:
        environment.find(with_dl=True)
    assert "it has no lava-dl" in str(caught.value) and "lava-dl is 0.5.0" in str(caught.value)
    fake_python(cache, WITH_DL)
    found = environment.find(with_dl=True)
    assert found.python == cache and found.lava_dl == "0.6.0" and environment.find().lava_dl == ""


INSTALLS_ASKED = (
    'case "$*" in *lava-dl==0.6.0*setuptools*) dl=0.6.0;; esac\n'
    "printf '#!/bin/sh\\necho \\047"
    '{"version": "3.10.13", "lava": "0.10.0", "numpy": "1.26.4", "lava_dl": "%s"}'
    '\\047\\n\' "$dl" > "$5"'
)


def test_lava_dl_comes_with_a_set_up_or_after_it(nowhere: Path) -> None:
    fake_uv(nowhere / "bin", INSTALLS_ASKED)
    assert environment.setup().lava_dl == ""
    lines: list[str] = []
    assert environment.setup(progress=lines.append, with_dl=True).lava_dl == "0.6.0"
    assert len(lines) == 1 and "lava-dl==0.6.0" in lines[0]
    assert environment.setup(progress=lines.append).lava_dl == "0.6.0" and len(lines) == 1
    assert environment.setup(nowhere / "new", with_dl=True).lava_dl == "0.6.0"


def test_a_set_up_that_cannot_add_lava_dl_leaves_lava_as_it_was(nowhere: Path) -> None:
    uv = fake_uv(nowhere / "bin", INSTALLS_ASKED)
    made = environment.setup()
    uv.write_text("#!/bin/sh\necho 'no network' >&2; exit 1\n")
    with pytest.raises(LimitExceededError, match="no network") as caught:
        environment.setup(with_dl=True)
    assert "lava-dl==0.6.0 installed" in str(caught.value) and environment.find().python == made.python
    fake_python(nowhere / "own" / "bin" / "python")
    with pytest.raises(UsageError, match="did not make"):
        environment.setup(nowhere / "own", with_dl=True)
