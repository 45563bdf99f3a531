"""A placed network as a folder that runs in SANA-FE, which somebody has installed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.sanafe.arch import Cost, architecture, used
from neurodeploy.backends.sanafe.homes import homes_of
from neurodeploy.backends.sanafe.net import biases, carried, network
from neurodeploy.backends.sanafe.synapses import Listed, listed, shift
from neurodeploy.errors import Finding, UnsupportedModelError, UsageError
from neurodeploy.ir.chip import Placement
from neurodeploy.ir.mapped import MappedGraph
from neurodeploy.ir.mapped_check import check_mapped
from neurodeploy.ir.types import BINARY
from neurodeploy.numerics import NO_MEMORY
from neurodeploy.targets.target import Target

FORMAT = "neurodeploy.sanafe"
KINDS = frozenset({"source", "lif", "sum", "relu", "product"})
RUNTIME = Path(__file__).parent / "runtime" / "run.py"
README = """# {name} for SANA-FE 2.2, on {title}

    pip install sanafe numpy
    python run.py --input images.npy --output out.npz     # and sanafe.json beside it

`images.npy`: as the trained model takes them. `out.npz`: `logits` int64 and `spikes/<population>`.
`sanafe.json`: energy, time, synaptic events and messages as SANA-FE counts them.

| file | what it holds |
|---|---|
| arch.yaml | the chip in SANA-FE's format, each number with its status; what is absent is 0 and says so |
| network.yaml | neurons on cores, edges with weights and delays, thresholds, biases, in SANA-FE's format |
| network.json, network.npz | the network once more, for what run.py adds: payloads, long delays, resets |
| run.py | drives SANA-FE step by step |

{synapses} synapses, {neurons} neurons; SANA-FE takes about 1.5 GB of memory a million synapses while it reads them.
"""


def export(
    graph: MappedGraph,
    placement: Placement | None,
    target: Target,
    folder: Path,
    overwrite: bool = False,
    identity: Mapping[str, Any] | None = None,
) -> Path:
    """Write arch.yaml, network.yaml, network.json, network.npz, run.py and README.md: whole, or not at all.

    identity: of which network, chip and lowering it is, see `result.identity_of`; sanafe.json will say it.
    Raises UsageError for a folder that is there (ND-X001; with `overwrite` one of another origin) or that cannot be
    written (ND-X002); UnsupportedModelError (ND-X003) with every layer that SANA-FE cannot be given; DoesNotFitError
    for a placement without coordinates; VerifyError where the graph breaks a rule.
    """
    folder = folder.absolute()
    _refuse_taken(folder, overwrite)
    _require_supported(graph)
    check_mapped(graph)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp("", f".{folder.name}.", folder.parent))
        try:
            _write(graph, placement, target, part, identity or {})
            part.chmod(0o755)
            if os.path.lexists(folder):
                shutil.rmtree(folder)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        have = getattr(error, "strerror", None) or str(error)
        finding = Finding("ND-X002", "", "a folder that can be written", have, "choose another folder", str(folder))
        raise UsageError(finding) from error
    return folder


def _refuse_taken(folder: Path, overwrite: bool) -> None:
    if not os.path.lexists(folder):
        return
    try:
        ours = json.loads((folder / "network.json").read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        ours = False
    if not overwrite or not ours or folder.is_symlink():
        need = "a folder that an earlier export wrote" if overwrite else "a folder that does not exist yet"
        raise UsageError(Finding("ND-X001", "", need, str(folder), "choose another, or --overwrite (overwrite=True)"))


def _require_supported(graph: MappedGraph) -> None:
    """Raise UnsupportedModelError with every population of neurons that are none of SANA-FE's.

    Those work in every step; their current lasts for it alone, and nothing resets one between samples.
    """
    need, mend = "stock neurons, which work in every time step", "take the stock neurons (neurons='stock')"
    findings = [
        Finding("ND-X003", p.name, need, f"{p.kind} neurons, in {graph.period} steps a step of the network", mend)
        for p in graph.populations
        if p.kind not in KINDS or graph.period != 1
    ]
    need, mend = "synaptic currents that last for a step", "run it on the backend lava, which has them"
    findings += [Finding("ND-X003", p.name, need, f"du = {p.du}", mend) for p in graph.populations if p.du < NO_MEMORY]
    if findings:
        raise UnsupportedModelError(findings)


def _write(
    graph: MappedGraph, placement: Placement | None, target: Target, folder: Path, identity: Mapping[str, Any]
) -> None:
    homes = homes_of(graph, placement, target)
    synapses = {c.name: listed(graph, c) for c in graph.crossbars}
    (folder / "arch.yaml").write_text(architecture(target, homes), encoding="utf-8")
    with (folder / "network.yaml").open("w", encoding="utf-8") as file:
        file.writelines(network(graph, homes, synapses))
    with (folder / "network.npz").open("wb") as binary:
        np.savez_compressed(binary, **dict(_arrays(graph, synapses)))  # type: ignore[arg-type]
    plain = json.dumps({**_plain(graph, target, homes.mesh.chips), "identity": identity}, indent=1)
    (folder / "network.json").write_text(plain + "\n", encoding="utf-8")
    shutil.copyfile(RUNTIME, folder / "run.py")
    counts = {"synapses": sum(len(rows) for rows, _, _ in synapses.values())}
    counts["neurons"] = sum(p.size for p in graph.populations)
    (folder / "README.md").write_text(README.format(name=graph.name, title=target.title, **counts), encoding="utf-8")


def _arrays(graph: MappedGraph, synapses: dict[str, Listed]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Biases in membrane units, and the synapses that the host may have a part in."""
    yield "output_bias", np.asarray(graph.output_bias, np.int64)
    kinds = {p.name: p for p in graph.populations}
    for i, population in enumerate(graph.populations):
        yield f"p{i}.bias", biases(graph, population)
    for i, crossbar in enumerate(graph.crossbars):
        binary = kinds[crossbar.source].interval.within(BINARY)
        if kinds[crossbar.target].kind != "lif" or not binary or not carried(crossbar):
            for part, array in zip(("rows", "cols", "weights"), synapses[crossbar.name], strict=True):
                yield f"c{i}.{part}", array.astype(np.int32)


def _plain(graph: MappedGraph, target: Target, chips: int) -> dict[str, Any]:
    span = graph.encoding.interval
    return {
        "format": FORMAT,
        "version": 1,
        "name": graph.name,
        "target": target.name,
        "steps": graph.steps,
        "encoding": {"step": graph.encoding.step, "lo": span.lo, "hi": span.hi, "events": graph.encoding.events},
        "output": graph.output,
        "costs": [_cost(target, cost) for cost in used(target, chips)],
        "populations": [
            {
                "name": p.name,
                "group": f"p{i}",
                "kind": p.kind,
                "shape": p.shape,
                "depth": p.depth,
                "resets": p.resets,
                "value": p.value,
            }
            for i, p in enumerate(graph.populations)
        ],
        "crossbars": [
            {
                "key": f"c{i}",
                "source": c.source,
                "target": c.target,
                "port": c.port,
                "delay": c.delay,
                "shift": shift(c),
                "carried": carried(c),
                "binary": graph.by_name[c.source].interval.within(BINARY),
            }
            for i, c in enumerate(graph.crossbars)
        ],
    }


def _cost(target: Target, cost: Cost) -> dict[str, Any]:
    facts = [target.fact(*key.split(".")) for key in cost.keys]
    ranks = ("datasheet", "measured", "paper", "assumed", "absent")
    status = max((f.status if f else "absent" for f in facts), key=ranks.index)
    return {"name": cost.name, "value": cost.value, "keys": cost.keys, "absent": cost.absent, "status": status}
