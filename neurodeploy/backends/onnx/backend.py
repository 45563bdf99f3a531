"""Execute a quantized graph as its artefact in ONNX Runtime, on the CPU."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from neurodeploy.backends.result import PROBE_BYTES, Probes, RunResult, require_room, select_probes
from neurodeploy.errors import EnvironmentMissingError, Finding
from neurodeploy.images import Images, check_images, slices
from neurodeploy.ir.artefact import IMAGES, LOGITS, membrane_name, serialise, value_names
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.verify import types
from neurodeploy.progress import Progress

Steps = NDArray[Any]

MEMORY = 1 << 28  # bytes that the values of one slice may take together with their copies
TOTAL = 1 << 32  # bytes that the slices that run at the same time may take
BYTES = 32  # of the largest value, an element: input, current, spikes and membranes of a LIF live at once
LARGEST_BATCH = 16  # larger slices leave the caches


def run(
    graph: Graph,
    images: object,
    probes: Probes = "none",
    batch: int | None = None,
    progress: Progress | None = None,
    threads: int = 0,
) -> RunResult:
    """Run images float32 [N, C, H, W], or event frames [N, T, C, H, W], through the artefact of a quantized graph.

    probes: the LIFs whose spikes and membranes are kept.  batch: samples at a time; by default as many as MEMORY
    holds, at least one.  progress(done, total) is called after each slice.  threads: slices at a time, 0 for one a
    core, or fewer so that TOTAL holds them; ONNX Runtime itself runs single-threaded, which took half the CPU time of
    its own two threads.
    Raises UsageError for bad images or probes, EnvironmentMissingError without onnxruntime, LimitExceededError for
    probes beyond this machine's memory.
    """
    checked = check_images(images, graph.image_shape)
    names = select_probes(probes, [node.name for node in graph.of("lif")])
    known, count = types(graph), len(checked)
    require_room(sum(known[name].size for name in names), graph.steps, count)
    session = _session(graph, names)
    logits = np.zeros((count, *known[graph.output].shape), np.int64)
    kept: dict[str, Steps] = {
        value: np.zeros((count, graph.steps, *known[name].shape), dtype)
        for name in names
        for value, dtype in ((value_names(graph)[name], np.uint8), (membrane_name(name), np.int32))
    }
    start = time.perf_counter()
    work = partial(_run_slice, session, kept, logits)
    size = batch_size(graph, names) if batch is None else batch
    most = max(1, TOTAL // (max(size, 1) * sample_bytes(graph, names)))
    with ThreadPoolExecutor(threads or min(most, len(os.sched_getaffinity(0)))) as pool:
        for done in pool.map(work, slices(checked, size)):
            if progress:
                progress(done, count)
    seconds = time.perf_counter() - start
    spikes = {name: kept[value_names(graph)[name]] for name in names}
    membrane = {name: kept[membrane_name(name)] for name in names}
    return RunResult("onnx", logits, graph.output_scale, spikes, membrane, seconds)


def _run_slice(session: Any, kept: dict[str, Steps], logits: Steps, work: tuple[slice, Images]) -> int:
    """Run one slice, put logits and what is probed where they belong; the samples that are done up to its end."""
    part, images = work
    logits[part], *probed = session.run([LOGITS, *kept], {IMAGES: images})
    for values, flat in zip(kept.values(), probed, strict=True):
        by_step = flat.reshape(values.shape[1], len(images), *values.shape[2:])
        values[part] = by_step.swapaxes(0, 1)
    return int(part.stop)


def sample_bytes(graph: Graph, probes: tuple[str, ...] = ()) -> int:
    """Bytes of one sample: the values of the largest layer in all T steps, and twice what is probed."""
    known = types(graph)
    probed = sum(known[name].size for name in probes)
    return graph.steps * (BYTES * max(value.size for value in known.values()) + 2 * PROBE_BYTES * probed)


def batch_size(graph: Graph, probes: tuple[str, ...] = ()) -> int:
    """Samples a slice, so that its memory is bounded whatever the network."""
    return max(1, min(LARGEST_BATCH, MEMORY // sample_bytes(graph, probes)))


@lru_cache(maxsize=2)
def _session(graph: Graph, probes: tuple[str, ...]) -> Any:
    """A session over the artefact's bytes, which only get further outputs where something is probed."""
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    options.enable_mem_pattern = False  # a plan of all values beside the arena: twice the memory from the second run on
    data = serialise(graph)
    data = _with_outputs(data, graph, probes) if probes else data
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _with_outputs(data: bytes, graph: Graph, probes: tuple[str, ...]) -> bytes:
    """The same model with spikes and membranes of the probed LIFs as outputs."""
    model = onnx.load_model_from_string(data)
    for name in probes:
        shape: list[str | int | None] = ["TN", *types(graph)[name].shape]
        for value, element in ((value_names(graph)[name], "UINT8"), (membrane_name(name), "INT32")):
            kind = onnx.TensorProto.DataType.Value(element)
            model.graph.output.append(onnx.helper.make_tensor_value_info(value, kind, shape))
    probed: bytes = model.SerializeToString()
    return probed


def _runtime() -> Any:
    """The module onnxruntime. Raises EnvironmentMissingError."""
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        advice = "pip install 'neurodeploy[onnxruntime]'"
        finding = Finding("ND-B010", "", "onnxruntime for the backend onnx", str(error), advice)
        raise EnvironmentMissingError(finding) from error
