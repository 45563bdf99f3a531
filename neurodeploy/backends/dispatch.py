"""Backends by name: which there are, which one "auto" is, and how each is called.

Light, for the command line lists the backends: a backend is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from warnings import warn

from neurodeploy.errors import Finding, UsageError

if TYPE_CHECKING:
    from neurodeploy.backends.result import Probes, RunResult
    from neurodeploy.ir.graph import Graph
    from neurodeploy.ir.mapped import MappedGraph


class Entry(NamedTuple):
    """Where a backend's function is, and whether it takes the mapped graph in place of the quantized one."""

    module: str
    function: str = "run"
    mapped: bool = False


ENTRIES: Mapping[str, Entry] = {
    "reference": Entry("reference"),
    "mapped": Entry("reference", "run_mapped", mapped=True),
    "crossbar": Entry("reference.crossbar"),
    "native": Entry("native"),
    "onnx": Entry("onnx"),
    "lava": Entry("lava.backend", mapped=True),
}
BACKENDS = tuple(ENTRIES)


def chosen_backend(backend: str) -> str:
    """The backend itself; for "auto" native, or onnx with a RuntimeWarning where native was not built."""
    if backend != "auto":
        return backend
    native = import_module("neurodeploy.backends.native")
    if native.available():
        return "native"
    warn(f"{native.MISSING}; the backend onnx takes its place", RuntimeWarning, stacklevel=3)
    return "onnx"


def require_known(backend: str) -> None:
    """Raise UsageError for a backend that there is not."""
    if backend not in ENTRIES:
        raise unknown_backend(f"one of {', '.join(BACKENDS)}", repr(backend))


def unknown_backend(need: str, have: str) -> UsageError:
    """The error of a choice of backends that cannot be followed."""
    return UsageError(Finding("ND-C001", "backend", need, have, "neurodeploy doctor lists what works here"))


def run_on(
    backend: str,
    graph: Graph,
    lowered: Callable[..., MappedGraph],
    images: object,
    probes: Probes,
    options: Mapping[str, Any],
) -> RunResult:
    """Run images on a backend.

    lowered(attention, neurons, residual): the graph as populations and crossbars, asked for by the backends that run
    those; these three are options of theirs.  Raises UsageError for an unknown backend or option, and what the backend
    raises.
    """
    require_known(backend)
    entry = ENTRIES[backend]
    run = getattr(import_module(f"neurodeploy.backends.{entry.module}"), entry.function)
    more = _choices() if entry.mapped else {}
    options = import_module("neurodeploy.backends.options").check_options(run, {"probes": probes, **options}, more)
    network: Graph | MappedGraph = graph
    if entry.mapped:
        images = import_module("neurodeploy.images").check_images(images, graph.image_shape)  # before the long lowering
        network = lowered(**{name: value for name, value in options.items() if name in more})
        options = {name: value for name, value in options.items() if name not in more}
    result: RunResult = run(network, images, **options)
    return result


def _choices() -> Mapping[str, Any]:
    """How a network may be lowered: name -> type of the option."""
    mapped = import_module("neurodeploy.ir.mapped")
    return {"attention": mapped.AttentionOrder, "neurons": mapped.NeuronChoice, "residual": mapped.Residual}
