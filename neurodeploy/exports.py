"""Exports that need a placement on a chip as well as the network."""

from __future__ import annotations

from pathlib import Path

from neurodeploy.api import CompiledModel, FilePath
from neurodeploy.ir.mapped import AttentionOrder, Residual
from neurodeploy.targets import load_target


def export_sanafe(
    deployed: CompiledModel,
    folder: FilePath,
    target: FilePath | None = None,
    *,
    attention: AttentionOrder = "auto",
    residual: Residual = "graded",
    overwrite: bool = False,
) -> Path:
    """Write a folder that runs in SANA-FE, with its own architecture and network files; whole or not at all.

    target: a name or the path of a TOML file, else the one it was compiled for.  attention, residual: how they are
    lowered, see docs/lowering.md.
    Raises UsageError (folder, target), InvalidFileError (target file), DoesNotFitError with everything that does not
    fit, UnsupportedModelError with every layer that SANA-FE cannot be given.
    """
    from neurodeploy.backends.sanafe.export import export
    from neurodeploy.backends.sanafe.homes import require_mesh
    from neurodeploy.mapping import lower

    chip = load_target(target or deployed.graph.metadata.get("target") or "loihi2")
    require_mesh(chip)
    bill = deployed.map(target, attention=attention, residual=residual).require_fit()
    graph = lower(deployed.graph, bill.attention["chosen"], residual=residual)
    return export(graph, bill.placement, chip, Path(folder), overwrite=overwrite)
