"""What a run of an exported folder wrote, sanafe.json, read and held against the network it is shown beside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from neurodeploy.errors import Finding, InvalidFileError, UsageError
from neurodeploy.ir.chip import Placement
from neurodeploy.targets.target import Target

SCHEMA, VERSION = "neurodeploy.sanafe", 1
MOST_BYTES = 1 << 20
TEXTS = ("name", "unit", "status", "source")
NUMBERS = ("value", "absent_as_zero")
ANEW = "run the folder that `neurodeploy export --to sanafe` writes, and pass its sanafe.json"
EXPORT = "export this network to SANA-FE and run it there"

Document = Mapping[str, Any]


def cores_of(placement: Placement) -> str:
    """Which tiles share which cores, and where these lie, as a digest."""
    tiles = [[(tile.population, tile.index, tile.part) for tile in core] for core in placement.cores]
    return hashlib.sha256(json.dumps([tiles, placement.at, placement.slots]).encode()).hexdigest()


def identity_of(network: str, target: Target, lowering: Mapping[str, str]) -> dict[str, Any]:
    """Of which network, chip and lowering a folder is. network: `ir.identity.identity` of the quantized graph."""
    facts = json.dumps(target.as_json()["facts"], sort_keys=True).encode()
    return {"network": network, "target": hashlib.sha256(facts).hexdigest(), "lowering": dict(lowering)}


def read_result(path: Path) -> Document:
    """The document of a sanafe.json. Raises InvalidFileError (ND-X020) for a file that is none."""
    try:
        if not path.is_file():
            raise OSError("no such file" if not path.exists() else "no regular file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        document = json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        raise _no_result(path, getattr(error, "strerror", None) or str(error) or type(error).__name__) from error
    wrong = next(_wrong(document), None)
    if wrong is not None:
        raise _no_result(path, wrong)
    return dict(document)


def _no_result(path: Path, have: str) -> InvalidFileError:
    return InvalidFileError(Finding("ND-X020", "", "a sanafe.json of version 1", have, ANEW, str(path)))


def _wrong(document: object) -> Iterator[str]:
    """What a document lacks to be a result."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        yield f"no document of schema {SCHEMA}"
        return
    if document.get("version") != VERSION:
        yield f"version {document.get('version')!r:.40}"
    yield from (f"{key}: no text" for key in ("name", "target", "simulator") if not isinstance(document.get(key), str))
    yield from (f"{key}: no count" for key in ("samples", "steps") if not _count(document.get(key)))
    figures = document.get("figures")
    if not isinstance(figures, list) or not all(_figure(one) for one in figures):
        yield "figures: a list of name, value, unit, status, source, absent"
    identity = document.get("identity")
    if not isinstance(identity, dict) or not isinstance(identity.get("lowering"), dict):
        yield "no identity: an export of an older version wrote the folder"


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 53


def _figure(one: object) -> bool:
    if not isinstance(one, dict) or not all(isinstance(one.get(key), str) for key in TEXTS):
        return False
    absent = one.get("absent")
    return (
        isinstance(absent, list)
        and all(isinstance(name, str) for name in absent)
        and all(_number(one.get(key)) for key in NUMBERS)
    )


def _number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value))


def require_same(result: Document, name: str, target: Target, identity: Document, path: Path) -> None:
    """Refuse a result of something else. Raises UsageError (ND-X021): of another network, chip or lowering."""
    told = result["identity"]
    findings = []
    if told.get("network") != identity["network"]:
        have = f"{result['name']}" if result["name"] != name else f"another network of the same name, {name}"
        findings.append(Finding("ND-X021", "", f"figures of {name}", f"figures of {have}", EXPORT, str(path)))
    if told.get("target") != identity["target"]:
        same = result["target"] == target.name
        have = f"another {target.name}, with other numbers" if same else result["target"]
        mend = f"--target {result['target']}, or export for {target.name}" if not same else "export it for this file"
        findings.append(Finding("ND-X021", "", f"figures on {target.name}", f"figures on {have}", mend, str(path)))
    if told["lowering"] != identity["lowering"]:
        need, have = (_said(one["lowering"]) for one in (identity, told))
        options = " ".join(f"--{key} {value}" for key, value in told["lowering"].items())
        findings.append(Finding("ND-X021", "", f"the lowering {need}", have, options, str(path)))
    if findings:
        raise UsageError(findings)


def _said(lowering: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in lowering.items())
