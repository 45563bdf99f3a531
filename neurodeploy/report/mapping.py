"""The bill of a mapping as tables; they show the numbers of the document that `--json` prints.

The document is `Bill.as_json()`, schema "neurodeploy.map": see docs/mapping.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group

from neurodeploy.errors import Finding
from neurodeploy.report.text import cell, percent, table

Document = Mapping[str, Any]
ANSWERS = (  # section, figure: the first table
    ("cores and chips", "cores"),
    ("cores and chips", "chips"),
    ("size", "neurons"),
    ("size", "synapses"),
    ("pipeline", "latency of the first sample"),
    ("pipeline", "throughput"),
    ("pipeline", "latency of the first sample in time"),
    ("pipeline", "throughput in time"),
    ("energy", "energy a sample"),
    ("energy", "energy a sample, known parts"),
)
PLURAL = re.compile(r"(?<=[a-z]{3})s$")  # of a unit in words: chips, not ms
NUMBER = re.compile(r"-?[0-9]+")
RARE = ("depth", "period", "payload bits", "custom neurons")  # of a lowering, shown where they differ
FEW = 12  # layers shown unless all are asked for


def mapping_tables(document: Document, *, every_layer: bool = False) -> list[Group]:
    """All tables of a bill. every_layer: not only the largest."""
    tables = [summary_table(document)]
    if document["resources"]:
        tables.append(resources_table(document))
    if document["constraints"]:
        tables.append(constraints_table(document))
    if document["attention"].get("alternatives"):
        tables.append(attention_table(document))
    tables += [figures_table(title, figures) for title, figures in document["sections"].items()]
    if document["second_opinion"]:
        tables.append(second_table(document["second_opinion"]))
    if document["layers"]:
        tables.append(layers_table(document, every_layer))
    return tables


def summary_table(document: Document) -> Group:
    """Whether it fits, and the figures that answer what was asked."""
    held = {(title, f["name"]): f for title, figures in document["sections"].items() for f in figures}
    rows: list[tuple[str, object, object]] = [("fits", document["fits"], _why(document))]
    rows += [
        (name, value(held[title, name]), _known(held[title, name])) for title, name in ANSWERS if (title, name) in held
    ]
    rows.append(("bottleneck", *_bottleneck(document)))
    rows.append(("attention", document["attention"].get("chosen"), document["attention"].get("why", "")))
    title = f"{document['name']} on {document['title']}, {document['neurons']} neurons"
    return table(title, ("", "#", "known how"), rows, "\n".join(document["notes"]))


def _why(document: Document) -> str:
    findings = len(document["findings"])
    return f"{findings} reasons below" if findings else ""


def _bottleneck(document: Document) -> tuple[str | None, str]:
    found = next((r for r in document["resources"] if r["name"] == document["bottleneck"]), None)
    if found is None:
        return None, ""
    return (
        f"{found['name']}, {percent(100 * found['share'], 1)}",
        f"most of it in {found['layer']}: {found['status']} limit",
    )


def resources_table(document: Document) -> Group:
    """Used and limit of each resource."""
    rows = [
        (
            found["name"],
            found["used"],
            found["limit"],
            _share(found["share"]),
            found["fullest"],
            _share(found["fullest_share"]),
            found["layer"],
            f"{100 * found['part']:.0f} %",
            found["status"],
        )
        for found in document["resources"]
    ]
    columns = ("resource", "used #", "limit a core #", "of all used cores #", "fullest core #", "of its limit #")
    return table("Used and limit", (*columns, "most of it in", "part #", "limit known"), rows)


def _share(share: float | None) -> str | None:
    return None if share is None else percent(100 * share, 1)


def constraints_table(document: Document) -> Group:
    """How many rows may be active in a step, how many can be, and how the network keeps to it."""
    rows = [tuple(found.values()) for found in document["constraints"]]
    columns = ("limited by", "met by", "tiles or populations #", "the tightest in", "rows #", "bound #", "limit #")
    caption = "rows of a converter; sums of an accumulator, in weight units"
    seen = ("reads #", "most that was seen #", "of #", "in steps #")
    return table("Spike-count constraints", (*columns, *seen), rows, caption)


def figures_table(title: str, figures: Sequence[Document]) -> Group:
    """Figures with unit and status; what is switched off names the constants that are absent."""
    columns = ("figure", "value #", "known how", "source")
    rows = [(f["name"], value(f), _known(f), f["source"]) for f in figures]
    return table(title[:1].upper() + title[1:], columns, rows)


def value(figure: Document) -> str:
    """A figure's number with its unit; a bound says so."""
    if figure["value"] is None:
        return "off"
    most = "at most " if figure["basis"] == "bound" and "throughput" not in figure["name"] else ""
    least = "at least " if figure["basis"] == "bound" and "throughput" in figure["name"] else ""
    unit = PLURAL.sub("", figure["unit"]) if figure["value"] == 1 else figure["unit"]
    return f"{most}{least}{cell(_short(figure['value']))} {unit}"


def _short(number: float) -> float | int:
    """Whole where it is large enough that fractions say nothing."""
    return int(number) if abs(number) >= 10_000 else number


def _known(figure: Document) -> str:
    """How well a figure is known, or why it is off."""
    if figure["absent"]:
        return f"absent: {', '.join(figure['absent'])}"
    return figure["status"] if figure["basis"] == "structure" else f"{figure['status']}, rates {figure['basis']}"


def second_table(second: Document) -> Group:
    """Another simulator's figures beside the bill's."""
    rows = [
        (row["name"], row["unit"], _or_off(row["ours"]), _or_off(row["theirs"]), row["ratio"], row["note"])
        for row in second["rows"]
    ]
    columns = ("figure", "unit", "ours #", "theirs #", "theirs / ours #", "")
    return table(f"A second opinion: {second['simulator']}", columns, rows, "\n".join(second_notes(second)))


def _or_off(number: float | None) -> object:
    return "off" if number is None else _short(number)


def second_notes(second: Document) -> list[str]:
    """What to know of a second opinion: on which samples, and what the host did."""
    same = "the same images as ours" if second["same_images"] else "other images than ours: counts may differ"
    said = [f"{second['samples']} samples, {same}"]
    if not second["same_cores"]:
        said.append("tiles lie on other cores there, so messages differ: export with the --images that map is given")
    helped = [f"{kind} {100 * share:.0f} %" for kind, share in second["host"].items()]
    return said + ([f"neurons times steps whose bias the host changed: {', '.join(helped)}"] if helped else [])


def attention_table(document: Document) -> Group:
    """Every lowering of the attention, the pools and the residuals, with its price; reasons below."""
    found = document["attention"]
    held: list[Document] = list(found["alternatives"])
    counts = ("neurons", "synapses", *(key for key in RARE if len({row[key] for row in held if _priced(row)}) > 1))
    rows = [(f"{row['of']}: {row['lowering']}", *(row[key] for key in counts), _verdict(row)) for row in held]
    heads = ("lowering", *(f"{key} #" for key in counts), "verdict")
    return table("What attention costs, and its alternatives", heads, rows, "\n".join(_reasons(found, held)))


def _priced(row: Document) -> bool:
    return row["neurons"] is not None


def _verdict(row: Document) -> str:
    if row["chosen"]:
        return "taken" if row["fits"] == "yes" else "taken, does not fit"
    return "not exact" if row["exact"] != "yes" else "fits" if row["fits"] == "yes" else "does not fit"


def _reasons(found: Document, rows: Sequence[Document]) -> Iterator[str]:
    """Why the one was taken, in how many layers there is a choice, and what stands against the others."""
    if found.get("why"):
        yield f"taken: {found['chosen']}, {found['why']}"
    layers = dict.fromkeys((row["of"], row["layers"]) for row in rows)
    yield "layers: " + ", ".join(f"{of} {count}" for of, count in layers)
    against: dict[str, list[str]] = {}
    for row in rows:
        exact = row["exact"] == "yes"
        reason = f"does not fit: {row['fits']}" if exact else f"not exact: {row['exact']}"
        if not exact or row["fits"] != "yes":
            against.setdefault(reason, []).append(row["lowering"])
    yield from (f"{', '.join(dict.fromkeys(names))} {reason}" for reason, names in against.items())


def layers_table(document: Document, every: bool = False) -> Group:
    """Populations: all in order of depth, or those that fill most cores."""
    found = list(document["layers"])
    shown = found if every else sorted(found, key=_filled)[:FEW]
    rows = [
        (
            layer["name"],
            f"{layer['kind']} (custom)" if layer["custom"] else layer["kind"],
            layer["depth"],
            layer["neurons"],
            layer["synapses"],
            layer["tiles"],
            layer["parts"],
            layer["cores"],
            layer["binds"],
        )
        for layer in shown
    ]
    columns = ("layer", "kind", "depth #", "neurons #", "synapses #", "tiles #", "parts #", "cores #", "binds")
    more = "" if len(shown) == len(found) else f"the largest {len(shown)} of {len(found)}; --layers shows all"
    return table("Layers", columns, rows, more)


def _filled(layer: Document) -> tuple[float, int]:
    """Most cores first, then most neurons; the source has no core."""
    return -(layer["cores"] or 0), -layer["neurons"]


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings that ask for the same and found the same as one, with the number of layers."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        kind = finding.code, NUMBER.sub("", finding.need), finding.next
        groups.setdefault(kind, []).append(finding)
    return tuple(_one(found) for found in groups.values())


def _one(found: Sequence[Finding]) -> Finding:
    """The one that needs most, by the first number that it names, and how many more there are."""
    worst = max(found, key=lambda finding: [int(n.replace(",", "")) for n in NUMBER.findall(finding.need)])
    more = len(found) - 1
    return replace(worst, have=f"{worst.have}; and so for {more} more, --json has all") if more else worst
