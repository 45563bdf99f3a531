"""To and from lava-dl: .net files of netx, and networks of SLAYER's PyTorch modules."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurodeploy.api import CompiledModel, FilePath
from neurodeploy.errors import Finding, UnsupportedModelError, UsageError
from neurodeploy.ir.artefact.files import write_atomic
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.proof import require_proof
from neurodeploy.ir.types import BINARY
from neurodeploy.netx.build import to_graph
from neurodeploy.netx.chain import rounded, to_layers
from neurodeploy.netx.container import read
from neurodeploy.netx.layers import layers_of, raise_all
from neurodeploy.netx.own import GROUP, Own
from neurodeploy.netx.reading import USAGE, Names, Reading, Semantics
from neurodeploy.netx.unpack import MAX_TEXT
from neurodeploy.netx.write import to_bytes
from neurodeploy.numerics import LOIHI_LAVA
from neurodeploy.versions import compiler_versions


@dataclass(frozen=True)
class NetxExport:
    """A .net file that was written. changed, worst: biases that were rounded, by how many membrane units at most."""

    path: Path
    own: Own
    shows_membrane: bool
    changed: int
    worst: int

    @property
    def network(self) -> str:
        """How netx opens it, so that layer i computes step t of sample s in time step s * T + t + i + 2."""
        span = self.own.code.interval
        bits = 0 if span.within(BINARY) else 8
        return (
            f"netx.hdf5.Network({str(self.path)!r}, reset_interval={self.own.steps}, reset_offset=1,"
            f" input_message_bits={bits})"
        )

    @property
    def host(self) -> tuple[str, ...]:
        """What the host does before and behind."""
        code, span = self.own.code, self.own.code.interval
        frame = "the frame of each step" if code.events else "the same image in each step"
        bias = "" if not self.own.bias.any() else f" + {GROUP}/bias"
        read = (
            "the membranes of the last layer after the last step, >> 6"
            if self.shows_membrane
            else "its spikes, summed over T"
        )
        return (
            f"feed {frame}, [W, H, C], as clip(rint(x / {code.step:.9g}), {span.lo}, {span.hi})",
            f"logits = {read}{bias}; times {self.own.scale:.9g} in the float model's scale",
        )


def load_netx(path: FilePath, steps: int | None = None, **choices: Any) -> CompiledModel:
    """The network of a .net file of lava-dl, with the integers that netx executes; proven.

    steps: T, time steps of a sample; only a file of `export_netx` says it itself.
    choices: of `neurodeploy.netx.reading.Reading`: semantics, input_shape, events, input_message_bits, input_range.
    Raises InvalidFileError for a damaged or hostile file, UnsupportedModelError with every layer that cannot be held,
    DoesNotFitError where the widths of Loihi are left, UsageError (choices), EnvironmentMissingError without h5py.
    """
    file, findings = Path(path), list[Finding]()
    container = read(file)
    own = Own.read(container, findings)
    if findings:
        raise_all(findings, file)
    layers = layers_of(container, file)
    steps = steps if steps is not None or own is None else own.steps
    if steps is None:
        raise UsageError(
            Finding(USAGE, "steps", "T, the time steps of a sample", "none", "give steps (--steps)", str(path))
        )
    if own is not None and not choices.keys() & {"code", "events", "input_message_bits", "input_range"}:
        choices["code"] = own.code
    graph = to_graph(layers, Reading.of(steps, choices), file, own.names if own else None)
    return _proven(own.restored(graph, file) if own else graph)


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

    reading = Reading.of(steps, {"semantics": semantics, "input_shape": input_shape, **choices})
    with exported(spec, input_shape, Path(weights) if weights else None, timeout) as made:
        layers = layers_of(read(made.file, made.python), made.file)
        names = Names(
            *({path: f"{name}.{part}" for path, name in made.names.items()} for part in ("synapse", "neuron"))
        )
        graph = to_graph(layers, reading, Path(spec), names)
    return _proven(_noticed(graph, made.notices))


def export_netx(deployed: CompiledModel, path: FilePath, *, round_bias: bool = False) -> NetxExport:
    """Write a .net file that netx runs with the same integers, atomically.

    round_bias: netx holds a bias in whole weight units; True rounds what lies between, which is another network: import
    the file to measure it.
    Raises UnsupportedModelError with every layer that netx has not, DoesNotFitError where the widths of Loihi are left,
    as a network of the target `cpu` may, UsageError where the path cannot be written, EnvironmentMissingError without
    h5py.
    """
    _require_told(deployed.graph.name)
    graph, changed, worst = rounded(deployed.graph) if round_bias else (deployed.graph, 0, 0)
    chain = to_layers(graph)
    require_proof(replace(graph, profile=LOIHI_LAVA.name))
    own = Own.of(graph, chain.names)
    write_atomic(Path(path), to_bytes(chain.layers, own))
    return NetxExport(Path(path), own, chain.shows_membrane, changed, worst)


def _require_told(name: str) -> None:
    """Raise UnsupportedModelError for a name that would not come back."""
    if not (name.isprintable() and 0 < len(name) <= MAX_TEXT):
        need, mend = f"a name of 1 to {MAX_TEXT} printable characters", "compile it with another `name`"
        raise UnsupportedModelError(Finding("ND-L014", "name", need, repr(name)[:MAX_TEXT], mend))


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
