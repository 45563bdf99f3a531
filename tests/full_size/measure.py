"""What compiling, saving and loading a network takes: ``python -m tests.full_size.measure qkformer_10_768``.

Prints seconds, bytes and peak memory of the process, the float model included, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import neurodeploy as nd
from tests.full_size.networks import random_model, samples

Figures = dict[str, float]
TRIES = 3  # of saving and loading, for other work on the machine counts in seconds


@contextmanager
def timed(figures: Figures, name: str) -> Iterator[None]:
    """Note the wall time of a block, the least where it runs more than once."""
    start = time.perf_counter()
    yield
    figures[name] = min(figures.get(name, float("inf")), time.perf_counter() - start)


def measure(name: str) -> Figures:
    """Seconds of compile, save and load, bytes of the artefact, peak resident bytes, number of parameters."""
    model, calibration = random_model(name), samples(name, seed=3)
    figures: Figures = {"parameters": sum(p.numel() for p in model.parameters())}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        with timed(figures, "compile"):
            deployed = nd.compile(model, calibration[:1], calibration=calibration, name=name)
        for _ in range(TRIES):
            with timed(figures, "save"):
                deployed.save(path)
            with timed(figures, "load"):
                nd.load(path)
        figures["artefact"] = path.stat().st_size
    figures["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
