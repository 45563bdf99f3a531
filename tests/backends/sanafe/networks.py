"""Mapped graphs on cores, and runs of exported folders."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.sanafe.export import export
from neurodeploy.ir.chip import Box, ChipNetwork, Neurons, Placement, Tile, Tiling
from neurodeploy.ir.mapped import MappedGraph, apply_views
from neurodeploy.targets import load_target

FIELDS = ("name", "kind", "shape", "depth", "interval", "vth", "dv", "du", "resets", "value")
ROWS = 2  # of a population's first axis in one tile


def placed(graph: MappedGraph, cores: int = 5) -> Placement:
    """Every population in tiles of some rows, dealt out to the cores of the first routers."""
    neurons = tuple(Neurons(**{field: getattr(p, field) for field in FIELDS}) for p in graph.populations)
    network = ChipNetwork(graph.name, graph.profile, graph.steps, neurons, (), graph.output)
    tiles = []
    for p in graph.populations:
        for i, start in enumerate(range(0, p.shape[0], ROWS)):
            stop = min(start + ROWS, p.shape[0])
            box = Box((start, *(0 for _ in p.shape[1:])), (stop, *p.shape[1:]))
            tiles.append(Tile(p.name, (i, *(0 for _ in p.shape[1:])), 0, box))
    held = tuple(tuple(tiles[i::cores]) for i in range(cores))
    at = tuple((0, i // 4 % 8, i // 32) for i in range(cores))
    return Placement(Tiling(network, "loihi2", {}), held, at, tuple(range(cores)), (), 1)


def exported(graph: MappedGraph, folder: Path, target: str | Path = "loihi2") -> Path:
    """The folder of a graph that `placed` places."""
    return export(graph, placed(graph), load_target(target), folder)


def run_folder(python: Path, folder: Path, images: NDArray[Any]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """out.npz and sanafe.json of a folder."""
    np.save(folder / "images.npy", images)
    files = ["--input", str(folder / "images.npy"), "--output", str(folder / "out.npz")]
    run = subprocess.run([python, str(folder / "run.py"), *files], capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr[-2000:])
    with np.load(folder / "out.npz") as arrays:
        return {key: arrays[key] for key in arrays.files}, json.loads((folder / "sanafe.json").read_text())


def viewed(graph: MappedGraph) -> MappedGraph:
    """The graph with a view of every layer, as the lowering gives them."""
    plain = {p.value: (p.name, ()) for p in graph.populations if p.value}
    return replace(graph, views={**plain, **graph.views})


def spikes_of(graph: MappedGraph, found: dict[str, NDArray[Any]], value: str) -> NDArray[Any]:
    """Spikes [N, T, *shape] of a layer, in the shape that the backends give them."""
    name, views = graph.views[value]
    spikes = found[f"spikes/{name}"]
    rows = [apply_views(step, views) for step in spikes.reshape(-1, *spikes.shape[2:])]
    return np.stack(rows).reshape(*spikes.shape[:2], *rows[0].shape)


def figure(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A figure of sanafe.json by its name."""
    return next(entry for entry in document["figures"] if entry["name"] == name)
