"""The backend `lava`: a mapped graph, run as stock Lava processes."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.lava import emit, environment, worker
from neurodeploy.backends.lava.scratch import on_disk, scratch_folder
from neurodeploy.backends.result import Probes, RunResult, select_probes
from neurodeploy.errors import EnvironmentMissingError, Finding, UsageError
from neurodeploy.images import check_images
from neurodeploy.ir.mapped import MappedGraph
from neurodeploy.progress import Progress

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
    progress: Progress | None = None,
) -> RunResult:
    """Run images through Lava; samples stream back to back.

    images: float32 [N, C, H, W] as the model takes them, shown in every step, or event frames [N, T, C, H, W].
    runtime: the unmodified process models in one operating-system process, or Lava's own runtime with one for each
    Lava process (small networks).
    conv: stock Conv ("shared"), stock Sparse with the same integers ("unrolled"), or what memory allows ("auto").
    timeout: seconds.
    progress: called with (time steps done, time steps in all).
    Raises UsageError, VerifyError, EnvironmentMissingError, LimitExceededError.
    """
    images = check_images(images, mapped.image_shape)
    names = select_probes(probes, emit.lif_values(mapped))
    if timeout is not None and not timeout > 0:  # NaN compares with nothing
        raise UsageError(Finding("ND-B147", "timeout", "seconds, more than 0", str(timeout), "leave it out for none"))
    python = environment.find().python
    with scratch_folder() as scratch:
        folder = scratch / "network"
        with on_disk():
            folder.mkdir()
            emit.write(mapped, folder)
            np.save(scratch / "images.npy", images)
        options = ("--input=images.npy", "--output=out.npz", f"--runtime={runtime}", f"--conv={conv}")
        probed = (f"--probe={name}" for name in names)
        worker.execute(python, [str(folder / "run.py"), *options, *probed], scratch, timeout, progress)
        try:
            return _read(scratch / "out.npz", names, mapped.output_scale)
        except (OSError, LookupError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            need, have = "a Python that runs the network and writes its result", f"{python}: {error}"
            raise EnvironmentMissingError(Finding("ND-B146", "", need, have, environment.MEND)) from error


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
