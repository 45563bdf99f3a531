"""The artefact: a quantized graph as one ONNX file that any runtime executes and neurodeploy reads back.

`images` float32 [N, C, H, W] in, `logits` int64 [N, classes] out. Between them a value has shape [T * N, *shape],
time first, and the name of its layer. The nodes are functions of the domain `neurodeploy` whose bodies are standard
integer ops. The file ends with a SHA-256 over everything before it.
"""

from __future__ import annotations

import os
from pathlib import Path

from neurodeploy.ir.artefact.files import read_bounded, write_atomic
from neurodeploy.ir.artefact.integrity import MAX_BYTES
from neurodeploy.ir.artefact.read import from_bytes
from neurodeploy.ir.artefact.write import FORMAT, IMAGES, LOGITS, membrane_name, to_bytes, value_names
from neurodeploy.ir.graph import Graph
from neurodeploy.version import __version__

__all__ = ["FORMAT", "IMAGES", "LOGITS", "from_bytes", "load", "membrane_name", "save", "serialise", "value_names"]


def serialise(graph: Graph) -> bytes:
    """The bytes of the artefact of a quantized graph; equal graphs give equal bytes. Raises as `to_bytes` does."""
    return to_bytes(graph, __version__)


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a quantized graph to an ONNX file, atomically. Raises as `serialise`, and UsageError if it cannot write.

    `step` of encode is float32 in the arithmetic, and in the file.
    """
    write_atomic(Path(path), serialise(graph))


def load(path: str | os.PathLike[str]) -> Graph:
    """The graph of an artefact, verified and proven. Raises InvalidFileError; nothing in the file is executed."""
    return from_bytes(read_bounded(Path(path), MAX_BYTES), str(path))
