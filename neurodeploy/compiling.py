"""From a model to a proven graph of integers: trace, quantize, prove. `api` wraps it for users."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from os import PathLike
from typing import Any

from neurodeploy.errors import EnvironmentMissingError, Finding, UsageError
from neurodeploy.images import Images, check_calibration, example_shape
from neurodeploy.ir.graph import Graph
from neurodeploy.quantize import layer_losses, quantize
from neurodeploy.quantize.options import QuantizeOptions, WeightBits, options_of
from neurodeploy.targets import load_target
from neurodeploy.versions import compiler_versions

Stages = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What a network is compiled from; the arguments of `api.compile`. rounding: fields of `QuantizeOptions`."""

    model: Any
    example_input: Any
    target: str | PathLike[str]
    calibration: object
    weight_bits: WeightBits = 8
    rounding: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Prepared:
    """What the quantizer takes, and what the artefact says about its origin."""

    traced: Graph
    images: Images
    options: QuantizeOptions
    facts: Mapping[str, str]


def compiled(asked: Asked, progress: Stages | None = None) -> Graph:
    """The integer network of a model. Raises as `api.compile`."""
    say = progress or (lambda stage: None)
    given = prepared(asked, say)
    say("quantize and prove")
    graph = quantize(given.traced, given.images, given.options, say)
    return replace(graph, metadata={**graph.metadata, **given.facts})


def sensitivity(
    model: Any,
    example_input: Any,
    target: str | PathLike[str] = "loihi2",
    *,
    calibration: object,
    steps: int | None = None,
    threshold_groups: int = 1,
    progress: Stages | None = None,
) -> list[dict[str, Any]]:
    """What each layer alone loses at 8, 6, 4, 3 and 2 bits, rounded to the nearest, all others at 8.

    Measured on 64 of the calibration samples, evenly spread.

    One entry a layer and width: layer, bits, bytes (of its weights), agreement (samples of the float network's class,
    percent), logit_error (root mean square, as a share of the logits), refused ("" or why there is no such network).
    Arguments and errors: `compile`.
    """
    say = progress or (lambda stage: None)
    groups = {"threshold_groups": threshold_groups}
    given = prepared(Asked(model, example_input, target, calibration, 8, groups, None, steps), say)
    return [loss.as_json() for loss in layer_losses(given.traced, given.images, given.options, say)]


def prepared(asked: Asked, say: Stages) -> Prepared:
    """The traced graph, with the calibration and the options checked before. Raises as `api.compile`."""
    _require_name(asked.name)
    chip = load_target(asked.target)
    images = check_calibration(asked.calibration, example_shape(asked.example_input))
    options = options_of(asked.weight_bits, chip.arithmetic, asked.rounding)
    say("trace")
    traced = frontend().trace(asked.model, asked.example_input, asked.name, asked.steps)
    facts = {"target": chip.name, "versions": json.dumps(compiler_versions()), "calibration_images": str(len(images))}
    return Prepared(traced, images, options, facts)


def _require_name(name: object) -> None:
    """Raise UsageError for what no file can hold as the name of its network."""
    if name is None:
        return
    try:
        if isinstance(name, str):
            name.encode()
            return
    except UnicodeEncodeError:  # of bytes on the command line that are not UTF-8
        pass
    raise UsageError(Finding("ND-C028", "name", "text in UTF-8", f"{name!r:.80}", "give the network another name"))


def frontend() -> Any:
    """The module neurodeploy.frontend. Raises EnvironmentMissingError without torch."""
    try:
        return import_module("neurodeploy.frontend")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("neurodeploy"):
            raise
        finding = Finding("ND-C002", "", "torch, to read a model", str(error), "pip install 'neurodeploy[torch]'")
        raise EnvironmentMissingError(finding) from error
