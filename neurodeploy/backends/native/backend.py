"""Execute a quantized graph with the compiled kernels, slice by slice."""

from __future__ import annotations

import os
import time
from functools import lru_cache

import numpy as np

from neurodeploy.backends.native import engine
from neurodeploy.backends.native.plan import Plan, plan
from neurodeploy.backends.options import require_threads
from neurodeploy.backends.result import Probes, RunResult, require_room, select_probes
from neurodeploy.errors import Finding, LimitExceededError
from neurodeploy.images import check_images, slices
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.verify import types
from neurodeploy.progress import Progress

SAMPLES = 8  # a thread between two reports of progress, which is also how long Ctrl-C may wait


def run(
    graph: Graph,
    images: object,
    probes: Probes = "none",
    batch: int | None = None,
    progress: Progress | None = None,
    threads: int = 0,
) -> RunResult:
    """Run images float32 [N, C, H, W], or event frames [N, T, C, H, W], through a quantized graph.

    probes: the LIFs whose spikes and membranes are kept.  batch: samples between two calls of progress(done, total),
    and between two moments at which Ctrl-C ends the run; memory does not grow with it.
    threads: 0 for one a core; samples are shared out, or the work on one where there are fewer samples than threads.
    Raises UsageError for bad images, probes, batch or threads, DoesNotFitError for a graph that int32 does not hold,
    EnvironmentMissingError where the extension was not built, LimitExceededError where memory does not suffice.
    """
    checked = check_images(images, graph.image_shape)
    names = select_probes(probes, [node.name for node in graph.of("lif")])
    require_threads(threads)
    require_room(sum(types(graph)[name].size for name in names), graph.steps, len(checked))
    workers = threads or len(os.sched_getaffinity(0))
    count = len(checked)
    try:
        made = _plan(graph, names, engine.path())
        outputs = [np.zeros((count, *shape), kind) for _, shape, kind in made.outputs]
        start = time.perf_counter()
        for part, _ in slices(checked, SAMPLES * workers if batch is None else batch):
            made.program.run(checked, outputs, part.start, part.stop - part.start, workers)
            if progress:
                progress(part.stop, count)
    except MemoryError as error:
        need = "memory for the network's values, and for what is probed"
        finding = Finding("ND-B024", "", need, "none left", "fewer images, probes or threads")
        raise LimitExceededError(finding) from error
    seconds = time.perf_counter() - start
    logits, *kept = outputs
    spikes, membrane = dict(zip(names, kept[::2], strict=True)), dict(zip(names, kept[1::2], strict=True))
    return RunResult("native", logits, graph.output_scale, spikes, membrane, seconds)


def profile(graph: Graph, images: object, runs: int = 3) -> list[tuple[str, str, float]]:
    """(layer, kernel, CPU seconds) of each kernel call for the first image, on one thread: the least of some runs.

    A convolution is told with the LIF that it is one call with.  Raises as `run` does.
    """
    checked = check_images(images, graph.image_shape)[:1]
    made = _plan(graph, (), engine.path())
    outputs = [np.zeros((1, *shape), kind) for _, shape, kind in made.outputs]
    seconds = np.min([made.program.profile(checked, outputs) for _ in range(runs)], axis=0)
    return [(layer, call, float(time)) for (layer, call), time in zip(made.calls, seconds, strict=True)]


@lru_cache(maxsize=2)
def _plan(graph: Graph, probes: tuple[str, ...], path: str) -> Plan:
    return plan(graph, probes, path)


# A child of a fork plans anew: the parent's programs may be held by threads that the child has not.
os.register_at_fork(after_in_child=_plan.cache_clear)
