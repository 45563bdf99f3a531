"""The backend `lava`: a mapped graph, run as stock Lava processes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.lava import emit, environment, worker
from neurodeploy.backends.result import Probes, RunResult, select_probes
from neurodeploy.images import check_images
from neurodeploy.ir.mapped import MappedGraph

NAME = "lava"
Runtime = Literal["inprocess", "multiprocess"]
Conv = Literal["auto", "shared", "unrolled"]


def run(
    mapped: MappedGraph,
    images: NDArray[np.float32],
    probes: Probes = "none",
    *,
    runtime: Runtime = "inprocess",
    conv: Conv = "auto",
    timeout: float | None = None,
    progress: worker.Progress | None = None,
) -> RunResult:
    """Run images through Lava; samples stream back to back.

    images: float32 [N, C, H, W] as the model takes them, shown in every step.
    runtime: the unmodified process models in one operating-system process, or Lava's own runtime with one for each
    Lava process (small networks).
    conv: stock Conv ("shared"), stock Sparse with the same integers ("unrolled"), or what memory allows ("auto").
    timeout: seconds.
    progress: called with (time steps done, time steps in all).
    Raises UsageError, VerifyError, EnvironmentMissingError, LimitExceededError.
    """
    images = check_images(images, next(p.shape for p in mapped.populations if p.kind == "source"))
    names = select_probes(probes, emit.lif_values(mapped))
    python = environment.find().python
    scratch = Path(tempfile.mkdtemp(prefix="nd-lava-"))
    try:
        folder = scratch / "network"
        folder.mkdir()
        emit.write(mapped, folder)
        np.save(scratch / "images.npy", images)
        options = {
            "--input": "images.npy",
            "--output": "out.npz",
            "--runtime": runtime,
            "--conv": conv,
            "--probes": ",".join(names) or "none",
        }
        arguments = [str(folder / "run.py"), *(word for pair in options.items() for word in pair)]
        worker.execute(python, arguments, scratch, timeout, progress)
        return _read(scratch / "out.npz", names, mapped.output_scale)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _read(path: Path, names: tuple[str, ...], scale: float) -> RunResult:
    with np.load(path, allow_pickle=False) as out:
        return RunResult(
            backend=NAME,
            logits=out["logits"],
            scale=scale,
            spikes={name: out[f"spikes/{name}"] for name in names},
            membrane={name: out[f"membrane/{name}"] for name in names},
            seconds=float(out["seconds"]),
        )
