"""What several commands share: --json, and the options for images, backends and probes."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from os.path import realpath
from pathlib import Path
from typing import Any

import click

from neurodeploy.backends import dispatch
from neurodeploy.cli.output import Output
from neurodeploy.errors import Finding, UsageError

Function = Callable[..., Any]
MOST_CLIPPED = 0.01  # share of pixels beyond the calibrated range that is worth a note
SAMPLES = 8  # that a mapping measures firing rates on unless --limit says otherwise
EVENT_AXES = 4  # of one sample, [T, C, H, W]
BACKENDS = ("auto", *dispatch.BACKENDS)

artefact = click.argument("artefact", type=click.Path(path_type=Path), metavar="ARTEFACT")
images = click.option(
    "--images",
    required=True,
    type=click.Path(path_type=Path),
    help="Images [N, C, H, W], or event frames [N, T, C, H, W], as the model takes them: .npy, or .npz with `images`.",
)
limit = click.option("--limit", type=click.IntRange(min=1), help="Use only the first so many images.")
spread_limit = click.option("--limit", type=click.IntRange(min=1), help="Use only so many images, evenly spread.")
probes = click.option(
    "--probes", "-p", multiple=True, help="LIF layer or pattern, can be repeated; `all`, or `none` (logits alone)."
)
weights = click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint; read, never executed.")
ema = click.option("--ema", is_flag=True, help="Of --weights, the moving averages (state_dict_ema, model_ema).")
backend = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="auto",
    show_default=True,
    help="auto: native, or onnx where the native backend was not built.",
)
ORDERS = (  # `ir.mapped.AttentionOrder`, which would load the compiler for --help
    *("auto", "kv", "qk", "stream", "kv-saturated", "qk-saturated"),
    *("kv-packed", "qk-packed", "kv-saturated-packed", "qk-saturated-packed"),
)
sanafe = click.option(
    "--sanafe",
    type=click.Path(path_type=Path),
    help="sanafe.json of a run in SANA-FE, to show beside.",
)
timeout = click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds for Lava.")


def lowering(function: Function) -> Function:
    """--attention, --neurons and --residual: how a network becomes populations and crossbars."""
    choices = (
        ("--attention", ORDERS, "How SSA's products are lowered; auto: the cheapest; of map, that is exact and fits."),
        ("--neurons", ("stock", "custom"), "Lava's own neurons, or neurodeploy's custom ones beside them."),
        (
            "--residual",
            ("graded", "spikes"),
            "Counts in neurons of their own, or each reader with the synapses of all terms.",
        ),
    )
    for name, values, what in reversed(choices):
        function = click.option(name, type=click.Choice(values), default=values[0], show_default=True, help=what)(
            function
        )
    return function


def command(name: str, summary: str = "", group: click.Group | None = None) -> Callable[[Function], click.Command]:
    """A command with --json, whose function takes an `Output` first. summary: its line in the list of commands."""

    def wrap(function: Function) -> click.Command:
        @functools.wraps(function)
        def run(as_json: bool, **options: Any) -> None:
            output = Output(as_json)
            with redirect_stdout(sys.stderr):  # what a user's own model prints is no part of the result
                function(output, **options)

        flagged = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(run)
        return (group.command if group else click.command)(name, short_help=summary or None)(flagged)

    return wrap


def chosen_backend(output: Output, name: str) -> str:
    """--backend as the library names it; what takes the place of a missing native backend is told."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        chosen = dispatch.chosen_backend(name)
    for warning in said:
        output.note(f"note: {warning.message}")
    return chosen


def chosen_probes(given: tuple[str, ...], default: str) -> Any:
    """--probes as the library takes it."""
    if not given:
        return default
    return given[0] if given in (("all",), ("none",)) else given


def load_network(output: Output, model: str, weights: Path | None, ema: bool = False) -> tuple[Any, tuple[str, ...]]:
    """--model with --weights loaded into it, and the keys that were left out because no forward reads them."""
    from neurodeploy import api

    if ema and weights is None:
        need, mend = "a checkpoint whose moving averages are taken", "give --weights, or leave --ema out"
        raise UsageError(Finding("ND-C027", "--ema", need, "no --weights", mend))
    network = api.load_model(model)
    idle: tuple[str, ...] = ()
    if weights is None:
        output.note(f"no --weights: {model} as the factory made it")
    else:
        from neurodeploy.frontend import load_into

        idle = load_into(network, weights, ema=ema)
    if idle:
        output.note(f"{weights}: left out {len(idle)} key(s) that no forward reads: {', '.join(idle)}")
    return network, idle


def note_clipped(output: Output, deployed: Any, images: Any) -> None:
    """Say so where the images leave the range that the network was calibrated for: the commonest slip of scaling."""
    share, (low, high) = deployed.clipped_share(images), deployed.pixel_range
    if share <= MOST_CLIPPED:
        return
    events = len(deployed.input_shape) == EVENT_AXES
    what = "values that are not zero" if events else "pixels"
    done = "events binned" if events else "images scaled and normalised"
    output.note(
        f"note: {share:.0%} of the {what} lie beyond {low:.4g}..{high:.4g}, the range that the calibration chose,"
        f" and are clipped; are these {done} as those were?"
    )


def require_folder(path: Path) -> None:
    """Refuse an output whose folder does not exist before the long work begins. Raises UsageError."""
    if not path.absolute().parent.is_dir():
        have = f"{path.absolute().parent} is no folder"
        raise UsageError(Finding("ND-C003", "", "an output in a folder that exists", have, f"mkdir -p {path.parent}"))


def require_apart(written: Mapping[str, Path | None], read: Mapping[str, Path | None]) -> None:
    """Refuse outputs that would replace an input or one another, by the options' names. Raises UsageError."""
    outputs, inputs = (
        {name: realpath(path) for name, path in paths.items() if path is not None} for paths in (written, read)
    )  # realpath takes a loop of links as it is, which resolve() does not
    for name, path in outputs.items():
        same = [other for other, held in {**outputs, **inputs}.items() if other != name and held == path]
        if same:
            have, mend = f"{path}, as {' and '.join(same)}", "give it a file of its own"
            raise UsageError(Finding("ND-C031", name, "an output that replaces nothing that is read", have, mend))


def model_file(spec: str) -> Path | None:
    """The file of a model that is named file.py:factory; None of a module's."""
    file, found, _ = spec.partition(".py:")
    return Path(f"{file}.py") if found else None


def require_file(path: Path) -> None:
    """Refuse an output file that cannot be written, before the long work begins. Raises UsageError."""
    from neurodeploy.ir.artefact.files import require_regular

    require_folder(path)
    require_regular(path)
