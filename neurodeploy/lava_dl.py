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
from neurodeploy.netx.reading import Reading
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


def notices(deployed: CompiledModel) -> tuple[str, ...]:
    """Where netx does not execute what a file says; none for a network that was not imported."""
    return tuple(map(str, json.loads(deployed.graph.metadata.get("imported", "{}")).get("notices", ())))


def _proven(graph: Graph) -> CompiledModel:
    require_proof(graph)
    facts = {"target": "loihi2", "versions": json.dumps(compiler_versions())}
    return CompiledModel(replace(graph, metadata={**graph.metadata, **facts}))
