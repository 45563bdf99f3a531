"""Documents as tables for a terminal; a table shows the same numbers as the document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from neurodeploy.report.fitted import Fitted

Document = Mapping[str, Any]
_SHOWN = 3  # layers named in a sentence


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Group:
    """A titled table; a column whose header ends in "#" is aligned right; without any names there is no header.

    Where the columns would not be readable beside one another, each row is a block.
    """
    made = Fitted(columns, [tuple(map(cell, row)) for row in rows])
    return Group(Text(title, style="bold"), made, *([Text(caption)] if caption else []))


def cell(value: object) -> str:
    """A value as text: thousands apart, floats to four digits, "-" for what is not known."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(entry)}" for key, entry in value.items())
    return str(value)


def percent(value: float | None, digits: int = 2) -> str | None:
    """A percentage, or None for one that is not known."""
    return None if value is None else f"{value:.{digits}f} %"


def evaluation_table(document: Document, title: str = "Evaluation") -> Group:
    """Accuracies, drop, agreement and correlation of an evaluation."""
    error = document["drop_error"]
    drop = document["drop"]
    rows = [
        ("samples", document["samples"]),
        ("float accuracy", percent(document["float_accuracy"])),
        *_in_batches(document),
        ("integer accuracy", percent(document["integer_accuracy"])),
        ("drop", None if drop is None else f"{drop:.2f} points" + ("" if error is None else f" +- {error:.2f}")),
        ("same class", percent(document["agreement"])),
        ("logit correlation", None if document["correlation"] is None else f"{document['correlation']:.5f}"),
        ("backend", document["backend"]),
        ("seconds", f"{document['seconds']:.2f}"),
    ]
    return table(title, ("", "#"), rows)


def _in_batches(document: Document) -> list[tuple[str, str | None]]:
    """The row of the float model in batches, where it ran so."""
    size = document.get("float_batch")
    return [] if size is None else [(f"float, batches of {size}", percent(document["float_batch_accuracy"]))]


def rates_table(document: Document) -> Group:
    """Firing rate of each LIF."""
    title = f"Spikes a neuron and step, first {document['rate_samples']} samples"
    rows = [(name, f"{rate:.4f}") for name, rate in document["firing_rate"].items()]
    return table(title, ("layer", "rate #"), rows, silence(document["firing_rate"]))


def silence(rates: Mapping[str, float]) -> str:
    """What to check where LIFs never fired: such a network is equal on all backends, and computes nothing."""
    silent = [name for name, rate in rates.items() if rate == 0]
    if not silent:
        return ""
    count = f"{len(silent)} of {len(rates)} never fired ({_some(silent)})"
    return f"{count}: are the weights loaded, the images scaled as trained?"


def _some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def comparison_table(document: Document, title: str = "Comparison") -> Group:
    """What was compared, and whether it is equal."""
    divergence = document["divergence"]
    verdict = "equal" if document["equal"] else f"differ in the {divergence['quantity']} of {divergence['layer']}"
    rows = [("result", verdict), ("backends", list(document["backends"])), ("samples", document["samples"])]
    rows += [(f"{quantity} compared", count) for quantity, count in document["values"].items()]
    rows += [(f"seconds, {backend}", f"{seconds:.2f}") for backend, seconds in document["seconds"].items()]
    return table(title, ("", "#"), rows)


def network_table(document: Document) -> Group:
    """Size of a network, and of its lowering where the document has it."""
    about_input = ("time_loop", "read_out", "input", "input_kind", "pixel_range")
    sizes = ("classes", "neurons", "weights", "weight_bytes", "synapses")
    keys = ("name", "target", "profile", "steps", *about_input, *sizes)
    rows: list[tuple[str, object]] = [(key.replace("_", " "), document[key]) for key in keys if document.get(key) != ""]
    mapped = dict(document.get("mapped", {}))
    refused = mapped.pop("refused", ())
    if refused:
        rows.append(("on a chip", f"no: compiled for the CPU, {len(refused)} bounds leave a chip's widths"))
        rows += [("too wide", reason) for reason in refused[:_SHOWN]]
        rows.append(("to know what a chip says", "compile it for one, e.g. --target loihi2"))
    rows += [(f"mapped: {key.replace('_', ' ')}", value) for key, value in mapped.items()]
    return table("Network", ("", "#"), rows, coupling(document))


def coupling(document: Document) -> str:
    """What to know where the model's code lets the samples of a batch influence one another; "" where it does not."""
    layers = document.get("batch_coupled")
    if not layers:
        return ""
    return (
        f"{len(layers)} layer(s) run across the samples of a batch in the model's code ({_some(layers)}): accuracies "
        "measured with it in batches were taken that way, published ones among them. This network computes batch size "
        "1; evaluate --float-batch shows the difference."
    )


def operations_table(document: Document) -> Group:
    """The operations of each layer, and what they add up to."""
    found = document["operations"]
    rows: list[tuple[object, ...]] = [
        (
            layer["layer"],
            layer["reads"],
            layer["macs"],
            layer["rate"],
            "MAC" if layer["multiplies"] else "AC",
            _millions(layer["sops"]),
            None if layer["energy"] is None else layer["energy"] * 1e-6,
        )
        for layer in found["layers"]
    ]
    columns = ("layer", "reads", "MACs a step #", "rate #", "counted as", "SOPs (M) #", "energy (uJ) #")
    return table("Operations", columns, rows)


def energy_table(document: Document) -> Group:
    """MACs, SOPs and theoretical energy of a sample, and firing rates by block."""
    found = document["operations"]
    energy, constants = found["energy"], found["constants"]
    rows: list[tuple[str, object]] = [
        ("parameters of the model", document["parameters"].get("model")),
        ("parameters that the output needs", document["parameters"].get("needed")),
        ("weights of the network", document["weights"]),
        ("MACs a step", found["macs"]),
        ("SOPs a sample", None if found["sops"] is None else f"{found['sops']:,.0f}"),
        ("energy a sample", None if energy is None else f"{energy:.6g} mJ"),
        ("counted as MACs", found["convention"]),
        *((f"firing rate, {block}", f"{rate:.4f}") for block, rate in found["rates"].items()),
    ]
    measured = f"rates of {found['samples']} samples" if found["samples"] else "--images measures rates"
    quiet = silence(found["rates"])
    measured += f". Blocks: {quiet}" if quiet else ""
    caption = (
        f"{constants['E_MAC_pJ']} pJ a MAC, {constants['E_AC_pJ']} pJ an AC (45 nm, no memory counted); {measured}"
    )
    return table("Operations and theoretical energy, as the papers count them", ("", "#"), rows, caption)


def _millions(count: float | None) -> float | None:
    return None if count is None else count / 1e6


def layers_table(document: Document) -> Group:
    """Every layer with its type and source."""
    rows = [
        (layer["name"], layer["op"], layer["type"], layer.get("neurons"), layer.get("weights"), layer["source"])
        for layer in document["layers"]
    ]
    return table("Layers", ("layer", "op", "type", "neurons #", "weights #", "source"), rows)


def bounds_table(document: Document) -> Group:
    """Every proven bound: the worst case, the limit, and how much of it is used."""
    rows = [
        (
            bound["layer"],
            bound["quantity"],
            "{}..{}".format(*bound["interval"]),
            "{}..{}".format(*bound["limit"]),
            percent(100 * bound["used"], 1),
        )
        for bound in document["bounds"]
    ]
    return table("Proven bounds", ("layer", "quantity", "worst case #", "limit #", "used #"), rows)


ROUNDING = (
    *("layer", "rounding", "bits", "unit", "vth", "clipped", "spike error", "membrane error", "cumulative error"),
)
ROUNDING_GRID, ROUNDING_ERRORS = ROUNDING[:6], ("layer", *ROUNDING[6:])  # each fits 80 columns
ROUNDING_BRIEF = ("layer", "bits", "vth", "spike error", "membrane error", "cumulative error")  # fits 80 columns
ROUNDING_CAPTION = (
    "spike error: share of all neurons' steps, silent ones too, that differ from the float layer's on the same inputs;"
    " membrane error: in integer steps, root mean square; cumulative: share that differs from the float network's; all"
    " on calibration samples"
)


def rounding_rows(document: Document) -> list[tuple[object, ...]]:
    """Bits, scale and errors of each layer with weights or thresholds of its own, in the order of ROUNDING."""
    keys = ("clipped", "spike_error", "membrane_error", "cumulative_error")
    return [
        (
            *(choice["layer"], _rounding(choice), choice.get("weight_bits"), choice.get("unit"), _thresholds(choice)),
            *(_percent_of(choice, key) for key in keys),
        )
        for choice in document["choices"]
        if choice.get("kind") in ("conv", "head", "threshold", "counts")
    ]


def _rounding(choice: Document) -> object:
    return choice.get("rounding", "nearest") if "weight_bits" in choice else None


def _thresholds(choice: Document) -> object:
    """The threshold, or those of its groups."""
    groups = choice.get("thresholds")
    return " / ".join(map(cell, groups)) if groups else choice.get("vth")


TRAINED = "none, its integers were trained and no longer follow the float layers"
IMPORTED = "no choices of the quantizer: imported, nothing was rounded here"


def rounding_table(document: Document) -> Group:
    """Bits and scale of each layer with weights or thresholds of its own; then its errors."""
    if not document["choices"]:
        return Group(Text(f"Rounding: {IMPORTED}"))
    grid = rounding_part(document, ROUNDING_GRID)
    if not any("cumulative_error" in choice for choice in document["choices"]):
        return Group(grid, Text(), Text(f"Errors of rounding: {TRAINED}"))
    return Group(grid, Text(), rounding_part(document, ROUNDING_ERRORS, "Errors of rounding", ROUNDING_CAPTION))


def rounding_brief(document: Document) -> Group:
    """The most telling columns, in one table."""
    return rounding_part(document, ROUNDING_BRIEF, caption=ROUNDING_CAPTION)


def rounding_part(document: Document, shown: Sequence[str], title: str = "Rounding", caption: str = "") -> Group:
    """The columns `shown` of ROUNDING."""
    left = ("layer", "rounding", "vth")  # several thresholds may take several lines
    rows = [[row[ROUNDING.index(name)] for name in shown] for row in rounding_rows(document)]
    return table(title, [name if name in left else f"{name} #" for name in shown], rows, caption)


def _percent_of(choice: Document, key: str) -> object:
    """A share as a percentage, anything else as it is."""
    shares = ("clipped", "spike_error", "cumulative_error")
    return percent(100 * choice[key]) if key in shares and choice.get(key) is not None else choice.get(key)


def sensitivity_table(document: Document) -> Group:
    """A row a layer: the agreement with the float network at each width, then the error of the logits."""
    found: dict[str, dict[int, Document]] = {}
    for loss in document["layers"]:
        found.setdefault(loss["layer"], {})[loss["bits"]] = loss
    widths = sorted({loss["bits"] for loss in document["layers"]}, reverse=True)
    columns = ("layer", *(f"{width} bits #" for width in widths))
    tables = (
        ("agreement", "Percent of the samples with the float network's class, one layer at fewer bits than 8"),
        ("logit_error", "Error of the logits, as a share of them"),
    )
    return Group(
        *(
            table(title, columns, [(layer, *(at[width][key] for width in widths)) for layer, at in found.items()])
            for key, title in tables
        )
    )


def choices_table(document: Document) -> Group:
    """What the quantizer chose for each layer."""
    if not document["choices"]:
        return Group(Text(f"Choices: {IMPORTED}"))
    rows = [
        (choice["layer"], choice.get("kind"), {k: v for k, v in choice.items() if k not in ("layer", "kind")})
        for choice in document["choices"]
    ]
    return table("Choices of the quantizer", ("layer", "kind", "chosen"), rows)


def target_table(document: Document) -> Group:
    """Every number of a chip with unit, status and source."""
    rows = [
        (f"{group}.{key}", fact["value"], fact["unit"], fact["status"], fact["source"])
        for group, facts in document["facts"].items()
        for key, fact in facts.items()
    ]
    return table(document["title"], ("number", "value #", "unit", "status", "source"), rows)


def run_table(document: Document, rows: int = 10) -> Group:
    """The classes of the first samples of a run."""
    shown = list(enumerate(document["classes"]))[:rows]
    more = len(document["classes"]) - len(shown)
    title = f"{document['backend']}: {document['samples']} samples, {document['seconds']:.2f} s"
    cells = [(i, c, document["logits"][i][c]) for i, c in shown]
    caption = f"and {more} more; --output writes all" if more else ""
    return table(title, ("sample #", "class #", "logit #"), cells, caption)
