"""From content to what the templates show: rows, geometry and words, section by section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurodeploy.report.mapping import second_notes, value
from neurodeploy.report.page import svg
from neurodeploy.report.page.activity import attention, bounds, raster, rates
from neurodeploy.report.page.chip import MOST_CHIPS, cores_of, heat_maps
from neurodeploy.report.page.content import Content
from neurodeploy.report.page.graph import draw
from neurodeploy.report.page.summary import UNMAPPED, accuracy, summary
from neurodeploy.report.text import ROUNDING, ROUNDING_CAPTION, cell, rounding_rows

Context = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """One section: its anchor, title, what its template takes, and why it is empty if it is."""

    id: str
    title: str
    body: Context
    reason: str = ""


def sections(content: Content) -> list[Section]:
    """All sections of the page, in order; none is ever left out."""
    made = (
        Section("summary", "Summary", summary(content)),
        _optional("accuracy", "Accuracy", content, accuracy(content)),
        Section("network", "Network", network(content)),
        _optional("chip", "Cores", content, chip(content)),
        Section("rates", "Firing rates", rates(content)),
        Section("raster", "Spike raster", raster(content)),
        _optional("rounding", "Rounding", content, rounding(content)),
        Section("bounds", "Bounds and observed maxima", bounds(content)),
        _optional("attention", "Attention", content, attention(content)),
    )
    return list(made)


def _optional(name: str, title: str, content: Content, body: Context | None) -> Section:
    """A section that may have no content: then its reason stands there."""
    reason = content.reasons.get(name, REASONS.get(name, "Not part of this report."))
    return Section(name, title, body or {}, "" if body else reason)


REASONS = {
    "rounding": "This artefact does not say how its weights were rounded.",
    "accuracy": "No labels were given, so the predictions cannot be judged: pass labels to see accuracy and confusion.",
    "chip": UNMAPPED,
    "attention": "No attention whose tokens lie on a grid over the image was found in this network.",
}


def network(content: Content) -> Context:
    """The drawing and the table of its layers."""
    known = {name: entry.rate for name, entry in content.observer.spikes().items()}
    drawing = draw(content.graph, known)
    top = max((box.rate for box in drawing.boxes if box.rate is not None), default=0.0) or 1.0
    bits = {entry["layer"]: entry["interval"] for entry in content.document["bounds"] if entry["quantity"] == "weight"}
    layers = [
        {"weights": None, **layer, "rate": known.get(layer["name"]), "span": bits.get(layer["name"])}
        for layer in content.document["layers"]
    ]
    shades = {box.name: svg.colour(box.rate / top) for box in drawing.boxes if box.rate is not None}
    return {"drawing": drawing, "shades": shades, "top": top, "layers": layers}


def rounding(content: Content) -> Context | None:
    """Bits, scale and errors of each layer, as the quantizer chose and measured them."""
    rows = rounding_rows(content.document)
    return {"columns": ROUNDING, "rows": rows, "caption": ROUNDING_CAPTION} if rows else None


def chip(content: Content) -> Context | None:
    """The bill: whether it fits, every figure with its source, limits, cores as heat maps, and the populations."""
    found = content.mapping
    if found is None:
        return None
    limits = {resource["name"]: resource["limit"] for resource in found["resources"]}
    cores = cores_of(content.placement, content.mesh, limits, content.sends) if content.placement else []
    maps = heat_maps(cores, content.mesh)
    return {
        "bill": found,
        "figures": {title: [(f, value(f)) for f in figures] for title, figures in found["sections"].items()},
        "findings": _findings(found["findings"]),
        "second": found.get("second_opinion"),
        "second_notes": second_notes(found["second_opinion"]) if found.get("second_opinion") else [],
        "alternatives": _alternatives(found["attention"]),
        "maps": maps,
        "cores": cores if maps and maps[0].chips[0].squares else [],
        "left_out": len({core.chip for core in cores if core.chip >= MOST_CHIPS}),
        "unplaced": "" if cores else (content.placement.note if content.placement else "It was not placed on cores."),
    }


def _findings(found: Sequence[Mapping[str, str]]) -> list[tuple[Mapping[str, str], list[str]]]:
    """Findings that differ in the layer alone as one, with all its layers."""
    groups: dict[tuple[str, ...], tuple[Mapping[str, str], list[str]]] = {}
    for finding in found:
        same = tuple(finding[key] for key in ("code", "need", "have", "next"))
        groups.setdefault(same, (finding, []))[1].append(finding["layer"])
    return [(finding, [layer for layer in layers if layer]) for finding, layers in groups.values()]


def _alternatives(found: Mapping[str, Any]) -> Context:
    """The prices of all lowerings: columns, and rows with whether it is the one that was taken."""
    held = found.get("alternatives", ())
    columns = list(dict.fromkeys(key for row in held for key in row))
    rows = [([cell(row.get(key)) for key in columns], row.get("chosen") is True) for row in held]
    return {"columns": columns, "rows": rows, "chosen": found.get("chosen", ""), "why": found.get("why", "")}
