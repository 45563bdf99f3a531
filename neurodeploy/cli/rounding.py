"""The options of the quantizer, which several commands take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import click

from neurodeploy.errors import Finding, UsageError

Function = Callable[..., Any]
Bits = int | dict[str, int] | Literal["auto"]
NAMES = (  # the fields of `QuantizeOptions` beside weight_bits, which --help does not load
    *("rounding", "scale", "bias_correction", "first_bits", "last_bits"),
    *("threshold_groups", "budget", "most_drop"),
)


def options(function: Function) -> Function:
    """--weight-bits, and an option for each of NAMES."""
    width = click.IntRange(2, 8)
    for option in reversed(
        (
            click.option(
                "--weight-bits",
                multiple=True,
                metavar="N | PATTERN=N | auto",
                help="2 to 8, for all layers or for some, by the first pattern that matches; auto: the fewest that keep"
                " --budget or --most-drop.",
            ),
            click.option(
                "--rounding",
                type=click.Choice(("auto", "nearest", "compensated")),
                help="Of the weights: each to the nearest, or the others absorb its error. [auto: below 8 bits]",
            ),
            click.option(
                "--scale",
                type=click.Choice(("auto", "weight", "spikes")),
                help="What chooses thresholds: the error of weights, or of spikes. [auto: spikes below 8 bits]",
            ),
            click.option(
                "--bias-correction/--no-bias-correction", default=None, help="Biases make good the mean error."
            ),
            click.option("--first-bits", type=width, help="Of layers that read the input. [else --weight-bits]"),
            click.option("--last-bits", type=width, help="Of the read-out. [else --weight-bits]"),
            click.option("--threshold-groups", type=click.IntRange(1, 4), help="Thresholds a population may have."),
            click.option("--budget", type=click.IntRange(min=1), help="With auto: bytes of all weights at most."),
            click.option("--most-drop", type=float, help="With auto: percent of calibration whose class may change."),
        )
    ):
        function = option(function)
    return function


def chosen(choices: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as `compile` takes them."""
    return {name: choices[name] for name in NAMES if choices.get(name) is not None}


def parse_bits(given: tuple[str, ...]) -> Bits:
    """--weight-bits: one number, `auto`, or patterns of layers with a number each, 8 for those that none matches.

    Raises UsageError with every one that cannot be read.
    """
    if given == ("auto",):
        return "auto"
    pairs = [(pattern or "*", bits) for pattern, _, bits in (text.rpartition("=") for text in given)]
    wrong = [text for text, (_, bits) in zip(given, pairs, strict=True) if not bits.isdecimal()]
    if wrong:
        need, mend = "N, PATTERN=N, or auto alone", "for example --weight-bits 8 --weight-bits 'stage1.*=4'"
        raise UsageError(Finding("ND-C006", "--weight-bits", need, text, mend) for text in wrong)
    patterns = {pattern: int(bits) for pattern, bits in pairs}
    if len(patterns) < len(pairs):
        need, mend = "each pattern once", "leave one of them out"
        raise UsageError(Finding("ND-C006", "--weight-bits", need, " ".join(given), mend))
    everywhere = patterns.pop("*", 8)
    return {**patterns, "*": everywhere} if patterns else everywhere
