"""Fine-tuning for users: from a float model to an `IntegerNetwork`, and from that to a deployed network.

torch is imported where it is used.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurodeploy.api import CompiledModel, FilePath
from neurodeploy.compiling import Asked, Prepared, frontend, prepared
from neurodeploy.errors import BackendsDifferError, Finding, UsageError
from neurodeploy.evaluation import check_labels
from neurodeploy.images import Images, check_images, spread
from neurodeploy.ir.identity import identity
from neurodeploy.ir.verify import types
from neurodeploy.progress import Progress
from neurodeploy.quantize import quantize_exactly
from neurodeploy.quantize.options import WeightBits, require_known

if TYPE_CHECKING:
    from neurodeploy.finetuning import IntegerNetwork, Recipe, Samples

Stages = Callable[[str], None]
Evaluated = Callable[[Mapping[str, float]], None]
HELD_OUT = 0.05  # share of the samples that chooses among the evaluations
CALIBRATION = 256  # samples, evenly spread
CHECKED_FIRST = 64  # samples on which the module and the deployed network are compared before training
KEPT = "go on from it (resume={0!s}, --resume), or name a file that is not there: it may be hours of work"
CHECKED = 256  # held-out samples on which they are compared in the end


@dataclass(frozen=True)
class FineTuned:
    """A network after fine-tuning.

    deployed: its integers.  accuracy: percent of the held-out samples.  step: after which it was best.
    history: step, accuracy and mean loss of every evaluation; the first one is before any training.
    """

    deployed: CompiledModel
    accuracy: float
    step: int
    history: tuple[Mapping[str, float], ...]

    def as_json(self) -> dict[str, Any]:
        """Accuracies as plain data."""
        return {"accuracy": self.accuracy, "step": self.step, "history": [dict(entry) for entry in self.history]}


@dataclass(frozen=True)
class Watchers:
    """What a run reports to, as `finetune` says."""

    stage: Stages | None = None
    progress: Progress | None = None
    evaluated: Evaluated | None = None

    def say(self, text: str) -> None:
        """Name the stage."""
        if self.stage:
            self.stage(text)


def prepare_finetuning(  # noqa: PLR0913  (the public call: each argument by its name)
    model: Any,
    example_input: Any,
    target: FilePath = "loihi2",
    *,
    calibration: object,
    weight_bits: WeightBits = 8,
    name: str | None = None,
    steps: int | None = None,
    surrogate: Any = None,
    progress: Stages | None = None,
    **rounding: Any,
) -> IntegerNetwork:
    """A module that computes the integer network of a trained model, for a training loop of one's own.

    Its forward pass gives the logits of the deployed network, to the last bit. After each step of an optimizer call
    `project()`, and in the end `deploy()`, which gives the CompiledModel; docs/finetuning.md has an example.
    surrogate: of SpikingJelly, by default Sigmoid(4).  The other arguments, and what is raised: as of `compile`.
    """
    asked = Asked(model, example_input, target, calibration, weight_bits, rounding, name, steps)
    say, shape = progress or (lambda stage: None), _surrogate(surrogate)
    return _quantized(prepared(asked, say), shape, say)


def finetune(  # noqa: PLR0913  (the public call: each argument by its name)
    model: Any,
    images: object,
    labels: object,
    target: FilePath = "loihi2",
    *,
    weight_bits: WeightBits = 4,
    held_out: Any = HELD_OUT,
    teacher: Any = True,
    calibration: object = None,
    name: str | None = None,
    steps: int | None = None,
    surrogate: Any = None,
    checkpoint: FilePath | None = None,
    resume: FilePath | None = None,
    stage: Stages | None = None,
    progress: Progress | None = None,
    evaluated: Evaluated | None = None,
    **choices: Any,
) -> FineTuned:
    """Train the integers of a model themselves; what is measured on the way is what the deployed network computes.

    images: [N, C, H, W] or event frames [N, T, C, H, W] to train on.  labels: integers [N].
    held_out: a share of them, at most 5,000, or images and labels of one's own: they choose the best evaluation.
    teacher: True: the float model teaches too; or logits [N, classes] that do; or False.
    calibration: by default 256 of the images.  target, weight_bits, name, steps: as of `compile`.
    checkpoint: file that is written after each evaluation and on Ctrl-C.  resume: a checkpoint to go on from, bit for
    bit as if the run had not been interrupted, on the same machine with as many threads; without `checkpoint` it is
    written anew as the run goes on. Any other file that is there is refused as checkpoint: it may be hours of work.
    stage(text): what is under way.  progress(done, total): after each step.  evaluated(entry): after each evaluation.
    choices: of `neurodeploy.finetuning.Recipe` (epochs, batch, learning_rate, seed, ..) and of the quantizer.
    Raises as `compile`; UsageError for samples and choices, InvalidFileError for a checkpoint, KeyboardInterrupt.
    """
    watchers, (recipe, rounding) = Watchers(stage, progress, evaluated), _recipe(choices)
    shape, array = _surrogate(surrogate), _array(images)
    some = spread(array, CALIBRATION) if calibration is None else calibration
    asked = Asked(model, array[:1], target, some, weight_bits, rounding, name, steps)
    from neurodeploy.finetuning import Hooks, Training

    begun, kept = _files(resume, checkpoint)
    given = prepared(asked, watchers.say)
    training, chooser = _divided(given, array, labels, teacher, held_out, recipe)
    network = _quantized(given, shape, watchers.say)
    _require_equal(network, network.deploy(), training.images[:CHECKED_FIRST])
    origin = _origin(network, recipe, training, chooser) | {"teacher": _named(teacher, given)}
    run = Training(network, training, chooser, recipe, origin, Hooks(watchers.progress, watchers.evaluated, kept))
    if begun:
        run.resume(begun)
    if teacher is True and recipe.distillation:
        run.samples = _taught(asked, network, training, recipe, watchers)
    watchers.say("train")
    best = run.run()
    deployed = _finished(network, recipe, run.steps)
    _require_equal(network, deployed, chooser.images[:CHECKED])
    return FineTuned(deployed, best["accuracy"], int(best["step"]), tuple(run.history))


def _files(resume: object, checkpoint: object) -> tuple[Path | None, Path | None]:
    """What is read and what is written. Raises before the long work: InvalidFileError, UsageError."""
    from neurodeploy.finetuning import checkpoint as files

    begun = _path("resume", resume)
    kept = _path("checkpoint", checkpoint) or begun
    if begun:
        files.content(begun)
    if kept and kept.exists() and not (begun and kept.samefile(begun)):
        need, have = "a file that is not there yet", f"{kept} is"
        raise UsageError(Finding("ND-S017", "checkpoint", need, have, KEPT.format(kept)))
    return begun, kept


def _origin(network: IntegerNetwork, recipe: Recipe, training: Samples, chooser: Samples) -> dict[str, str]:
    """What tells a run from others, beside its teacher."""
    return {
        "network": identity(network.graph),
        "output scale": repr(network.graph.output_scale),
        "recipe": json.dumps(recipe.as_json(), sort_keys=True),
        "surrogate": network.surrogate,
        "data": training.digest(),
        "held-out data": chooser.digest(),
    }


def _quantized(given: Prepared, surrogate: Any, say: Stages) -> IntegerNetwork:
    from neurodeploy.finetuning import IntegerNetwork

    say("quantize and prove")
    graph, exact = quantize_exactly(given.traced, given.images, given.options)
    graph = replace(graph, metadata={**graph.metadata, **given.facts})
    return IntegerNetwork(graph, exact, surrogate, CompiledModel)


def _recipe(choices: Mapping[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """What is of the recipe, and what the quantizer takes."""
    frontend()  # names what is missing
    from neurodeploy.finetuning import Recipe

    own = [field.name for field in fields(Recipe)]
    require_known(choices, own)
    recipe = Recipe(**{key: value for key, value in choices.items() if key in own})
    return recipe, {key: value for key, value in choices.items() if key not in own}


def _surrogate(surrogate: Any) -> Any:
    frontend()  # names what is missing
    from neurodeploy.finetuning import chosen_surrogate

    return chosen_surrogate(surrogate)


def _array(images: object) -> Images:
    """The images to train on, float32, whatever their size. Raises as `check_images`."""
    try:
        shape = np.asarray(images).shape[1:]
    except (TypeError, ValueError, RuntimeError):  # which the check names
        shape = ()
    return check_images(images, shape)


def _divided(
    given: Prepared, images: Images, labels: object, teacher: object, held_out: Any, recipe: Recipe
) -> tuple[Samples, Samples]:
    """The samples to train on, and those that choose: checked, before the quantizer has its work."""
    check = partial(_checked, images.shape[1:], types(given.traced)[given.traced.output].size)
    samples = check(images, labels, teacher)
    if not (isinstance(held_out, tuple | list) and len(held_out) == 2):
        return samples.split(held_out, recipe.seed)
    try:
        return samples, check(*held_out)
    except UsageError as error:
        raise UsageError(replace(finding, layer=f"held_out {finding.layer}") for finding in error.findings) from None


def _checked(shape: tuple[int, ...], classes: int, images: object, labels: object, teacher: object = None) -> Samples:
    from neurodeploy.finetuning import Samples, check_teacher

    checked = check_images(images, shape)
    logits = None if teacher is None or isinstance(teacher, bool) else check_teacher(teacher, len(checked), classes)
    return Samples(checked, check_labels(labels, len(checked), classes), logits)


def _path(name: str, given: object) -> Path | None:
    if given is not None and not isinstance(given, str | PathLike):
        raise UsageError(Finding("ND-S016", name, "the path of a file", f"{given!r:.80}", f"pass {name}='run.ckpt'"))
    return None if given is None else Path(given)


def _named(teacher: object, given: Prepared) -> str:
    """Which teacher; float models differ that give the same integers."""
    if isinstance(teacher, bool) or teacher is None:
        return f"the float model {identity(given.traced):.16}" if teacher else "none"
    return f"logits {zlib.crc32(np.asarray(teacher).tobytes()):08x}"


def _taught(asked: Asked, network: IntegerNetwork, samples: Samples, recipe: Recipe, watchers: Watchers) -> Samples:
    """With the float model's logits for the samples that the run will see."""
    watchers.say("teacher: the float model")
    rows = samples.seen(recipe)
    loop = network.graph.steps if "time_loop" in network.graph.metadata else None
    logits = frontend().run_float(asked.model, samples.images[rows], progress=watchers.progress, steps=loop)
    return samples.taught(rows, logits.astype(np.float32))


def _finished(network: IntegerNetwork, recipe: Recipe, steps: int) -> CompiledModel:
    """The deployed network; its metadata says how it was trained."""
    graph = network.integer_graph()
    told = json.dumps({**recipe.as_json(), "steps": steps, "surrogate": network.surrogate}, sort_keys=True)
    return CompiledModel(replace(graph, metadata={**graph.metadata, "finetuned": told}))


def _require_equal(network: IntegerNetwork, deployed: CompiledModel, images: Images) -> None:
    """Raise BackendsDifferError unless the module and the deployed network give the same logits."""
    found = deployed.run(images)
    wrong = int((found.logits != network.logits(images)).any(axis=1).sum())
    if wrong:
        need, have = f"the logits of backend {found.backend}", f"others on {wrong} of {len(images)} samples"
        mend = "let PyTorch compute float32 in full, as docs/finetuning.md says; if it does, report it"
        raise BackendsDifferError(Finding("ND-S030", network.graph.output, need, have, mend))
