"""Find and read target files: by name among those that come with neurodeploy, or by path."""

from __future__ import annotations

import sys
from os import PathLike
from pathlib import Path

from neurodeploy.errors import Finding, InvalidFileError, UsageError
from neurodeploy.targets.check import parse
from neurodeploy.targets.target import Target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PACKAGE = Path(__file__).resolve().parent
FOLDERS = (_PACKAGE / "data", _PACKAGE.parent.parent / "targets")  # of a wheel; of an editable install
LARGEST = 1 << 20  # bytes


def available() -> tuple[str, ...]:
    """The names of the targets that come with neurodeploy."""
    return tuple(sorted({path.stem for folder in FOLDERS for path in folder.glob("*.toml")}))


def load_target(name_or_path: str | PathLike[str]) -> Target:
    """A target by name, or from a file whose name ends in .toml.

    Raises UsageError for an unknown name, InvalidFileError (all findings at once) for a missing or wrong file.
    """
    path = _find(name_or_path)
    target, findings = parse(_document(path), str(path))
    if target is None:
        raise InvalidFileError(findings)
    return target


def _find(name_or_path: str | PathLike[str]) -> Path:
    if str(name_or_path).endswith(".toml"):
        return Path(name_or_path)
    found = (folder / f"{name}.toml" for folder in FOLDERS for name in available() if name == str(name_or_path))
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        have, need = repr(str(name_or_path)), f"one of {', '.join(available())}, or a path that ends in .toml"
        raise UsageError(Finding("ND-T001", "target", need, have, "neurodeploy targets list"))
    return path


def _document(path: Path) -> dict[str, object]:
    try:
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            raise ValueError("a folder, device or pipe")
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        document: dict[str, object] = tomllib.loads(raw.decode("utf-8"))
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, too large, nested too deep
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    return document


def _unreadable(path: Path, have: str) -> InvalidFileError:
    return InvalidFileError(
        Finding("ND-T002", "", "a target file in TOML", have, "give the path of a target file", str(path))
    )
