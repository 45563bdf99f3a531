"""Exports that need a placement on a chip as well as the network."""

from __future__ import annotations

from pathlib import Path

from neurodeploy.api import CompiledModel, FilePath
from neurodeploy.ir.mapped import AttentionOrder, Residual


def export_sanafe(
    deployed: CompiledModel,
    folder: FilePath,
    target: FilePath | None = None,
    *,
    attention: AttentionOrder = "auto",
    residual: Residual = "graded",
    images: object = None,
    overwrite: bool = False,
) -> Path:
    """Write a folder that runs in SANA-FE, with its own architecture and network files; whole or not at all.

    target: a name or the path of a TOML file, else the one it was compiled for.  attention, residual: how they are
    lowered, see docs/lowering.md.  images: to place cores by the spikes on them, as `CompiledModel.map` does.
    Raises UsageError (folder, target), InvalidFileError (target file), DoesNotFitError with everything that does not
    fit, UnsupportedModelError with every layer that SANA-FE cannot be given.
    """
    from neurodeploy.backends.sanafe.export import export
    from neurodeploy.backends.sanafe.homes import require_mesh
    from neurodeploy.backends.sanafe.result import cores_of
    from neurodeploy.mapping import lower
    from neurodeploy.mapping.prices import Choice
    from neurodeploy.maps import chip_of, sanafe_identity

    chip = chip_of(deployed.graph, target)
    require_mesh(chip)
    bill = deployed.map(target, images, attention=attention, residual=residual).require_fit()
    choice = Choice(bill.attention["chosen"], "stock", residual)
    graph = lower(deployed.graph, choice.attention, residual=residual)
    whose = sanafe_identity(deployed.graph, chip, choice)
    if bill.placement is not None:
        whose["cores"] = cores_of(bill.placement)
    return export(graph, bill.placement, chip, Path(folder), overwrite, whose)
