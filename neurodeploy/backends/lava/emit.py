"""A mapped graph as a self-contained folder that runs with lava-nc 0.10.0 and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.lava.readme import readme
from neurodeploy.backends.lava.runtime.network import FORMAT, INDICES, VERSION
from neurodeploy.errors import Finding, UsageError
from neurodeploy.ir.mapped import ConvWeights, Crossbar, MappedGraph, Population, Views, Whole
from neurodeploy.ir.mapped_check import check_mapped
from neurodeploy.ir.types import BINARY, BYTE, SIGNED_BYTE, Interval

RUNTIME = Path(__file__).parent / "runtime"
LAUNCHER = '''"""Run this network: python run.py --input images.npy --output out.npz"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from runtime.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(FOLDER))
'''

TEMPORARY = ".neurodeploy-tmp"  # suffix of what a killed export may leave beside the target
Arrays = dict[str, NDArray[Any]]


def lif_values(graph: MappedGraph) -> tuple[str, ...]:
    """What can be probed: values of the quantized graph that LIF populations compute, in their order."""
    return graph.probed


def export(graph: MappedGraph, target: Path, overwrite: bool = False) -> Path:
    """Write the folder atomically: complete at `target`, or not there at all.

    An existing target is refused; with `overwrite`, one that this function wrote is replaced.
    Raises UsageError, also where the target cannot be written, and VerifyError where the graph breaks a rule.
    """
    target = target.absolute()
    try:
        _refuse_foreign(target, overwrite)
        _write_whole(graph, target, overwrite)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        have, mend = getattr(error, "strerror", None) or str(error), "choose another folder"
        raise UsageError(Finding("ND-B132", "", "a folder that can be written", have, mend, str(target))) from error
    return target


def _write_whole(graph: MappedGraph, target: Path, overwrite: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(TEMPORARY, ".", target.parent))
    try:
        write(graph, part)
        part.chmod(0o755)
        _sync(part)
        (_swap if overwrite and target.exists() else _name)(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write(graph: MappedGraph, folder: Path) -> None:
    """Write network.json, network.npz, run.py, runtime/ and README.md into an existing folder.

    Custom neurons bring their Lava processes along, in runtime/custom.

    Raises VerifyError where the graph breaks a rule.
    """
    check_mapped(graph)
    arrays: Arrays = {}
    plain = _plain(graph, arrays)
    with (folder / "network.npz").open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    plain["arrays_sha256"] = hashlib.sha256((folder / "network.npz").read_bytes()).hexdigest()
    (folder / "network.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    (folder / "run.py").write_text(LAUNCHER, encoding="utf-8")
    (folder / "README.md").write_text(readme(graph), encoding="utf-8")
    _copy_runtime(folder / "runtime", custom=any(p.custom for p in graph.populations))


def _copy_runtime(folder: Path, custom: bool) -> None:
    """What runs the network; the custom processes go along only where it has custom neurons."""
    folder.mkdir()
    for file in sorted(RUNTIME.glob("*.py")):
        shutil.copyfile(file, folder / file.name)
    if custom:
        (folder / "custom").mkdir()
        for file in sorted((RUNTIME / "custom").glob("*.py")):
            shutil.copyfile(file, folder / "custom" / file.name)


def _plain(graph: MappedGraph, arrays: Arrays) -> dict[str, Any]:
    arrays["output_bias"] = np.asarray(graph.output_bias, np.int64)
    encoding, span = graph.encoding, graph.encoding.interval
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": graph.name,
        "profile": graph.profile,
        "steps": graph.steps,
        "period": graph.period,
        "neurons": graph.neurons,
        "depth": graph.depth,
        "encoding": {"step": encoding.step, "lo": span.lo, "hi": span.hi, "events": encoding.events},
        "output": {"population": graph.output, "scale": graph.output_scale},
        "populations": [_population(p, f"p{i}", arrays) for i, p in enumerate(graph.populations)],
        "crossbars": [_crossbar(c, f"c{i}", arrays) for i, c in enumerate(graph.crossbars)],
        "probes": dict(_probes(graph)),
        "wholes": {name: _whole(whole, f"w{i}", arrays) for i, (name, whole) in enumerate(graph.wholes.items())},
    }


def _probes(graph: MappedGraph) -> Iterator[tuple[str, dict[str, Any]]]:
    by_value = {p.value: p for p in graph.populations if p.spiking}
    for value in lif_values(graph):
        population, views = graph.views.get(value, (by_value[value].name, ()))
        yield value, {"population": population, "views": views}


def _whole(whole: Whole, key: str, arrays: Arrays) -> dict[str, Any]:
    """A layer of several thresholds: its shape, and where the neurons of each of its populations lie in it."""
    arrays |= {f"{key}.{i}": _steps(members) for i, (_, members) in enumerate(whole.parts)}
    return {"shape": whole.shape, "parts": {name: f"{key}.{i}" for i, (name, _) in enumerate(whole.parts)}}


def _population(p: Population, key: str, arrays: Arrays) -> dict[str, Any]:
    biased, phased = bool(np.any(p.bias_mant)), bool(np.any(p.phase))
    if biased:
        arrays[f"{key}.bias_mant"] = np.asarray(p.bias_mant, np.int16)
    if phased:
        arrays[f"{key}.phase"] = np.asarray(p.phase, np.int32)
    return {
        "name": p.name,
        "kind": p.kind,
        "shape": p.shape,
        "depth": p.depth,
        "message_bits": _message_bits(p.interval),
        "vth": p.vth,
        "dv": p.dv,
        "du": p.du,
        "bias_mant": f"{key}.bias_mant" if biased else "",
        "bias_exp": p.bias_exp,
        "resets": p.resets,
        "phase": f"{key}.phase" if phased else "",
        "value": p.value,
    }


def _message_bits(interval: Interval) -> int:
    """0 for binary spikes, 8 for a byte, else the 24 of a graded spike."""
    if interval.within(BINARY):
        return 0
    return 8 if interval.within(BYTE) or interval.within(SIGNED_BYTE) else 24


def _crossbar(c: Crossbar, key: str, arrays: Arrays) -> dict[str, Any]:
    conv = c.weights if isinstance(c.weights, ConvWeights) else None
    parts: Mapping[str, NDArray[np.int64]]
    parts = {"weight": conv.weight} if conv else {k: getattr(c.weights, k) for k in ("rows", "cols", "weights")}
    for part, array in parts.items():
        arrays[f"{key}.{part}"] = _steps(array) if part in INDICES else array.astype(np.int8)
    views: dict[str, Views] = {
        "in_views": conv.in_views if conv else (),
        "out_views": conv.out_views if conv else (),
    }
    return {
        "name": c.name,
        "kind": "conv" if conv else "sparse",
        "source": c.source,
        "target": c.target,
        "port": c.port,
        "delay": c.delay,
        "exponent": getattr(c.weights, "exponent", 0),
        "stride": conv.stride if conv else (1, 1),
        "padding": conv.padding if conv else (0, 0),
        "groups": conv.groups if conv else 1,
        **views,
        "value": c.value,
        "arrays": {part: f"{key}.{part}" for part in parts},
    }


def _steps(indices: NDArray[np.int64]) -> NDArray[np.int32]:
    """Indices as steps from one to the next: regular ones compress a thousand times better."""
    steps: NDArray[np.int32] = np.diff(indices, prepend=0).astype(np.int32)
    return steps


def _refuse_foreign(target: Path, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise _taken(target)
    try:
        ours = json.loads((target / "network.json").read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours or target.is_symlink():
        need = "a folder that an earlier export wrote"
        raise UsageError(Finding("ND-B131", "", need, str(target), "choose another folder, or remove this one"))


def _sync(folder: Path) -> None:
    """Have the disk hold every file before the folder gets its name."""
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _taken(target: Path) -> UsageError:
    need, mend = "a folder that does not exist yet", "choose another, or --overwrite (overwrite=True)"
    return UsageError(Finding("ND-B130", "", need, str(target), mend))


def _name(part: Path, target: Path) -> None:
    """Give the new folder its name; what has got that name in the meantime stays, as a rename replaces no folder."""
    try:
        part.rename(target)
    except OSError as error:
        raise (_taken(target) if os.path.lexists(target) else error) from error


def _swap(part: Path, target: Path) -> None:
    """Give the new folder the name of an old one, which steps aside first and comes back if that fails."""
    aside = Path(tempfile.mkdtemp(TEMPORARY, ".", target.parent)) / "old"
    target.rename(aside)
    try:
        _name(part, target)
    except BaseException:
        if not os.path.lexists(target):
            aside.rename(target)
        raise
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)
