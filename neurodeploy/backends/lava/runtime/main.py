"""Command line of a network folder: images in, classes, logits, spikes and membranes out."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from . import guard
from .network import Network, NetworkError, load
from .record import Recorder, select

LAVA_VERSION = "0.10.0"
OK, FAILED, BAD_REQUEST, NO_LAVA, OUT_OF_MEMORY, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Run the network in a folder; the exit code: 0, 1 failed, 2 bad request, 3 no lava-nc 0.10.0, 4 no memory."""
    options = _parser().parse_args(arguments)
    codes = {
        NetworkError: BAD_REQUEST, ImportError: NO_LAVA, MemoryError: OUT_OF_MEMORY, KeyboardInterrupt: INTERRUPTED
    }  # fmt: skip
    owner = guard.Owner(options.scratch) if options.scratch else None
    try:
        _run(folder, options)
    except (Exception, KeyboardInterrupt) as error:
        if options.debug:
            raise
        _say(f"error: {type(error).__name__}: {error}", sys.stderr)
        return next((code for kind, code in codes.items() if isinstance(error, kind)), FAILED)
    finally:
        if owner:
            owner.end_if_gone()  # its thread may not have had the time
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Run this network as stock Lava processes.")
    parser.add_argument("--input", required=True, type=Path, help="images.npy [N, *shape] or [N, T, *shape]")
    parser.add_argument("--output", type=Path, help="out.npz for logits, spikes/<lif>, membrane/<lif>")
    parser.add_argument("--runtime", choices=("inprocess", "multiprocess"), default="inprocess")
    parser.add_argument("--probes", default="none", help="all, none, or names and patterns with commas between")
    parser.add_argument("--probe", action="append", default=[], help="a name or pattern; can be repeated")
    parser.add_argument("--conv", choices=("auto", "shared", "unrolled"), default="auto")
    parser.add_argument("--progress", action="store_true", help="print a line for each time step")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)  # of the program that started this one
    return parser


def _run(folder: Path, options: argparse.Namespace) -> None:
    guard.guard_forks()
    if options.scratch:
        guard.claim(options.scratch.name)
    _check_lava()
    network = load(folder)
    probes = select(tuple(network.probes), options.probes, options.probe)
    frames = network.frames(_images(options.input))
    recorder = Recorder(network, frames.shape[0], probes)
    seconds = _simulate(network, frames, recorder, options)
    if options.output:
        recorder.save(options.output, seconds)
    else:
        _print_logits(recorder.logits)


def _simulate(network: Network, frames: NDArray[np.int32], recorder: Recorder, options: argparse.Namespace) -> float:
    """Seconds that the time steps took, without building the network."""
    from . import build, inprocess, multiprocess  # lava is imported here, after its version is known

    started = time.perf_counter()

    def progress(done: int, total: int) -> None:
        nonlocal started
        if done == 0:
            started = time.perf_counter()
        if options.progress:
            _say(f"progress {done}/{total}")

    real = options.runtime == "multiprocess"
    lava = build.build(network, frames, recorder.populations, sinks=real, conv=options.conv)
    (multiprocess if real else inprocess).run(lava, recorder, progress)
    return time.perf_counter() - started


def _check_lava() -> None:
    try:
        version = metadata.version("lava-nc")
    except metadata.PackageNotFoundError:
        raise ImportError(
            f"lava-nc is not installed for {sys.executable}: pip install lava-nc=={LAVA_VERSION}"
        ) from None
    if version != LAVA_VERSION:
        raise ImportError(f"lava-nc is {version}; these networks run with lava-nc=={LAVA_VERSION}")


def _images(path: Path) -> NDArray[np.generic]:
    try:
        images = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise NetworkError(f"{path} holds no NumPy array: {error}") from None
    if not isinstance(images, np.ndarray):
        raise NetworkError(f"{path} holds several arrays; give a .npy file")
    return images


def _print_logits(logits: NDArray[np.int64]) -> None:
    for sample, row in enumerate(logits):
        _say(f"{sample}: class {int(row.argmax())}  logits {' '.join(map(str, row.tolist()))}")


def _say(line: str, stream: TextIO = sys.stdout) -> None:
    stream.write(line + "\n")
    stream.flush()
