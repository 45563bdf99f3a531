"""The tables of an evaluation on crossbars."""

from __future__ import annotations

from rich.console import Group

from neurodeploy.report.text import Document, percent, table

LEAST = 1e-6  # share that four digits of a percentage can show
OTHERWISE = (
    "tiles and reads of what is computed in cells: the sums of SSA's products are digital, weights are 8 bits wide; "
    "`map` counts these sums as cells too, and weights as wide as each layer's widest"
)
_HEADER = ("ADC bits #", "active rows #", "can clip", "accuracy #", "same class #", "logits equal")
_COSTS = ("reads a step #", "one after another #", "conversions a step #", "clipped #", "seconds #")


def tables(document: Document) -> list[Group]:
    """The settings, and by layer what clipped where anything did."""
    clipped = clipped_table(document)
    return [settings_table(document), *([] if clipped is None else [clipped])]


def settings_table(document: Document) -> Group:
    """Accuracy against ADC bits and active rows, with what a step takes."""
    rows = [
        (
            one["adc_bits"],
            _rows(one),
            not one["safe"],
            percent(one["accuracy"]),
            percent(one["agreement"]),
            one["equal"],
            *(one[key] for key in ("reads", "serial", "conversions")),
            _share(one["clipped"]),
            f"{one['seconds']:.1f}",
        )
        for one in document["settings"]
    ]
    held = document["crossbar"]
    size = f"{held['rows']} x {held['columns']} cells of {held['cell_bits']} bits, {held['coding']} coding"
    flips = ", columns flipped" if held["flips"] else ""
    title = f"On {document['target']}: {size}{flips}, {document['samples']} samples"
    unconstrained = f"unconstrained integers: {percent(document['accuracy'])}"
    caption = f"{unconstrained}; {document['settings'][0]['tiles']:,} tiles\n{OTHERWISE}"
    return table(title, (*_HEADER, *_COSTS), rows, caption)


def clipped_table(document: Document) -> Group | None:
    """The share of conversions that clipped, by layer, of the settings in which any did; None where none did."""
    clipping = [one for one in document["settings"] if one["clipped"] > 0]
    if not clipping:
        return None
    columns = ("layer", *(f"{one['adc_bits']} bits, {_rows(one)} rows #" for one in clipping))
    names = clipping[0]["layers"]
    rows = [(name, *(_share(one["layers"][name]["clipped"]) for one in clipping)) for name in names]
    return table("Conversions that clipped", columns, rows)


def _rows(setting: Document) -> str:
    """Active rows, and the name that they were asked for by."""
    asked, rows = setting["asked"], setting["active_rows"]
    return f"{rows}" if asked == rows else f"{rows} ({asked})"


def _share(share: float) -> str:
    """A share as a percentage; what is more than nothing never reads as 0."""
    return "0 %" if share == 0 else "< 0.0001 %" if share < LEAST else f"{100 * share:.4f} %"
