"""To and from lava-dl: .net files of netx, and networks of SLAYER's PyTorch modules."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from neurodeploy.api import CompiledModel, FilePath
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.proof import require_proof
from neurodeploy.netx.build import to_graph
from neurodeploy.netx.container import read
from neurodeploy.netx.layers import layers_of
from neurodeploy.netx.reading import Names, Reading, Semantics
from neurodeploy.versions import compiler_versions


def load_netx(path: FilePath, steps: int, **choices: Any) -> CompiledModel:
    """The network of a .net file of lava-dl, with the integers that netx executes; proven.

    steps: T, time steps of a sample.  choices: of `neurodeploy.netx.reading.Reading`: semantics, input_shape, events,
    input_message_bits, input_range.
    Raises InvalidFileError for a damaged or hostile file, UnsupportedModelError with every layer that cannot be held,
    DoesNotFitError where the widths of Loihi are left, UsageError (choices), EnvironmentMissingError without h5py.
    """
    file = Path(path)
    return _proven(to_graph(layers_of(read(file), file), Reading(steps, **choices), file))


def load_slayer(
    spec: str,
    steps: int,
    input_shape: tuple[int, ...],
    weights: FilePath | None = None,
    *,
    semantics: Semantics = "slayer",
    timeout: float | None = 600,
    **choices: Any,
) -> CompiledModel:
    """A network of `slayer.block.cuba` modules, with the integers of SLAYER's own export; proven.

    spec: `file.py:factory` or `package.module:factory`; the factory runs in the Lava environment, which has lava-dl.
    input_shape: [C, H, W] or [features].  weights: a checkpoint of its state_dict.  choices: as of `load_netx`.
    Raises as `load_netx`, and EnvironmentMissingError without lava-dl, LimitExceededError after `timeout` seconds.
    """
    from neurodeploy.backends.lava.slayer import exported

    reading = Reading(steps, semantics, input_shape, **choices)
    reading.check()
    with exported(spec, input_shape, Path(weights) if weights else None, timeout) as made:
        layers = layers_of(read(made.file, made.python), made.file)
        names = Names(
            *({path: f"{name}.{part}" for path, name in made.names.items()} for part in ("synapse", "neuron"))
        )
        graph = to_graph(layers, reading, Path(spec), names)
    return _proven(_noticed(graph, made.notices))


def notices(deployed: CompiledModel) -> tuple[str, ...]:
    """Where netx does not execute what a file says; none for a network that was not imported."""
    return tuple(map(str, json.loads(deployed.graph.metadata.get("imported", "{}")).get("notices", ())))


def _noticed(graph: Graph, more: tuple[str, ...]) -> Graph:
    facts = json.loads(graph.metadata["imported"])
    return replace(
        graph, metadata={**graph.metadata, "imported": json.dumps(facts | {"notices": [*facts["notices"], *more]})}
    )


def _proven(graph: Graph) -> CompiledModel:
    require_proof(graph)
    facts = {"target": "loihi2", "versions": json.dumps(compiler_versions())}
    return CompiledModel(replace(graph, metadata={**graph.metadata, **facts}))
