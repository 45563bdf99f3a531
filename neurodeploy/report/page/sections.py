"""From content to what the templates show: rows, geometry and words, section by section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from neurodeploy.ir.proof import Bound
from neurodeploy.ir.types import Interval
from neurodeploy.report.page import svg
from neurodeploy.report.page.chip import MOST_CHIPS, SIDE, SPACE, cores_of, heat_maps
from neurodeploy.report.page.content import Content
from neurodeploy.report.page.graph import TIMES, block_of, draw
from neurodeploy.report.text import cell

Context = dict[str, Any]
MOST_CLASSES = 20  # that a confusion matrix is drawn for
MOST_CONFUSED = 15  # pairs of classes that are listed
MOST_MAPS = 8  # attentions that are laid over the samples
STATE = ("membrane", "activation", "accumulator", "input payload", "payload", "difference in a window")


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
        Section("bounds", "Bounds and observed maxima", bounds(content)),
        _optional("attention", "Attention", content, attention(content)),
    )
    return list(made)


def _optional(name: str, title: str, content: Content, body: Context | None) -> Section:
    """A section that may have no content: then its reason stands there."""
    reason = content.reasons.get(name, REASONS.get(name, "Not part of this report."))
    return Section(name, title, body or {}, "" if body else reason)


REASONS = {
    "accuracy": "No labels were given, so the predictions cannot be judged: pass labels to see accuracy and confusion.",
    "chip": "The network was not mapped onto a chip.",
    "attention": "No attention whose tokens lie on a grid over the image was found in this network.",
}


def summary(content: Content) -> Context:
    """The first figures, and the table under them."""
    document = content.document
    rows = [
        ("Model", document["name"]),
        ("Target", document["target"] or "none"),
        ("Arithmetic", f"profile {document['profile']}"),
        ("Time steps", f"T = {document['steps']}"),
        ("Input", f"{document['input_kind']}, {TIMES.join(map(str, document['input']))}"),
        ("Classes", document["classes"]),
        *_accuracy_rows(content),
        ("LIF neurons", document["neurons"]),
        ("Weights", document["weights"]),
        ("Synapses", f"{cell(document['synapses'])} without sharing of weights"),
        *_mapped_rows(content),
        ("Cores", _counted(content, "cores")),
        ("Chips", _counted(content, "chips")),
        ("Bit-exact backends", _exact(content)),
        ("Proof", f"{len(content.bounds)} bounds hold for every input"),
        *_energy_rows(content),
    ]
    return {"rows": [(name, cell(value)) for name, value in rows], "tiles": list(_tiles(content))}


def _accuracy_rows(content: Content) -> Iterator[tuple[str, object]]:
    found = content.evaluation
    if found is None:
        yield "Accuracy", "not known: no labels"
        return
    count = found["samples"]
    real = found["float_accuracy"]
    yield "Accuracy, float", "not known: no float model" if real is None else _with_error(real, count)
    yield "Accuracy, integer", _with_error(found["integer_accuracy"], count)
    if found["drop"] is not None:
        yield "Drop", _drop(found)


def _with_error(percent: float, samples: int) -> str:
    """An accuracy with its binomial standard error."""
    return f"{percent:.2f} % ± {standard_error(percent, samples):.2f} ({samples:,} samples)"


def standard_error(percent: float, samples: int) -> float:
    """Binomial standard error of an accuracy, in points: sqrt(p (1 - p) / n)."""
    share = percent / 100
    return 100 * sqrt(max(0.0, share * (1 - share)) / max(1, samples))


def _drop(found: Mapping[str, Any]) -> str:
    error = found["drop_error"]
    return f"{found['drop']:.2f}" + ("" if error is None else f" ± {error:.2f}") + " points"


def _mapped_rows(content: Content) -> Iterator[tuple[str, object]]:
    """Neurons, synapses and depth on the chip, where the network was lowered to one."""
    if content.mapping is None:
        return
    size = {figure["name"]: figure["value"] for figure in content.mapping["sections"].get("size", ())}
    if "neurons" in size:
        depth = max((layer["depth"] for layer in content.mapping["layers"]), default=0)
        yield "On the chip", f"{size['neurons']:,} neurons, {size['synapses']:,} synapses, {depth} steps deep"


def _counted(content: Content, what: str) -> object:
    """Cores or chips of the mapping, or why they are not known."""
    if content.mapping is None:
        return f"not known: {content.reasons.get('chip', REASONS['chip'])}"
    fits = "" if content.mapping["fits"] else f"; it does not fit {content.mapping['target']}, see Cores"
    return _figure(content, what) + fits


def _figure(content: Content, what: str) -> str:
    sections = content.mapping["sections"] if content.mapping else {}
    found = [figure["value"] for figure in sections.get("cores and chips", ()) if figure["name"] == what]
    return cell(found[0]) if found else "not counted"


def _exact(content: Content) -> str:
    found = content.comparison
    if found is None:
        return f"not compared: {content.reasons.get('comparison', 'fewer than two backends')}"
    names = " = ".join(found["backends"])
    if not found["equal"]:
        return f"DIFFER: {names}, first in the {found['divergence']['quantity']} of {found['divergence']['layer']}"
    values = sum(found["values"].values())
    return f"{names}: {values:,} integers of {found['samples']} samples, 0 differences"


def _energy_rows(content: Content) -> Iterator[tuple[str, object]]:
    found = content.operations
    if found is None or found["energy"] is None:
        return
    constants = found["constants"]
    yield "Synaptic operations", f"{found['sops'] / 1e6:.4g} M a sample"
    source = f"{constants['E_MAC_pJ']} pJ a MAC, {constants['E_AC_pJ']} pJ an AC; 45 nm, Horowitz 2014, no memory"
    yield "Theoretical energy", f"{found['energy']:.4g} mJ a sample, as the papers count ({source})"


def _tiles(content: Content) -> Iterator[tuple[str, str, str]]:
    """The first figures: label, value, note."""
    found, compared = content.evaluation, content.comparison
    if found is not None:
        samples, value = found["samples"], found["integer_accuracy"]
        yield "integer accuracy", f"{value:.2f} %", f"± {standard_error(value, samples):.2f}, {samples:,} samples"
        if found["drop"] is not None:
            yield "drop", f"{found['drop']:.2f}", f"points from float {found['float_accuracy']:.2f} %"
    yield "LIF neurons", cell(content.document["neurons"]), f"{len(content.observer.spikes())} layers"
    spikes = content.observer.spikes().values()
    fired = sum(entry.rate * entry.neurons for entry in spikes)
    yield "firing rate", f"{fired / max(1, sum(e.neurons for e in spikes)):.4f}", "spikes a neuron and step"
    if content.mapping is not None:
        word = "fits" if content.mapping["fits"] else "does not fit"
        note = f"chips: {_figure(content, 'chips')}; {word} {content.mapping['target']}"
        yield "cores", _figure(content, "cores"), note
    if compared is not None:
        note = " = ".join(compared["backends"])
        yield "bit-exact", "yes" if compared["equal"] else "NO", note


def accuracy(content: Content) -> Context | None:
    """Float and integer accuracy with standard errors, and which classes are confused."""
    found, labels = content.evaluation, content.labels
    if found is None or labels is None:
        return None
    pairs = [("float", found["float_accuracy"]), ("integer", found["integer_accuracy"])]
    known = [(name, value, standard_error(value, found["samples"])) for name, value in pairs if value is not None]
    floor = max(0.0, min(value - 3 * error for _, value, error in known) - 1)
    classes = content.document["classes"]
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, content.logits.argmax(axis=1)), 1)
    return {
        "known": known,
        "floor": floor,
        "scale": [(value, 100 * (value - floor) / (100 - floor)) for value in (floor, (floor + 100) / 2, 100.0)],
        "drop": None if found["drop"] is None else _drop(found),
        "agreement": found["agreement"],
        "correlation": found["correlation"],
        "backend": content.backend,
        "samples": found["samples"],
        "matrix": _matrix(counts) if classes <= MOST_CLASSES else None,
        "classes": classes,
        "confused": _confused(counts),
    }


def _matrix(counts: np.ndarray[Any, Any]) -> list[list[tuple[int, float]]]:
    """Rows of (count, share of the label's samples)."""
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    return [list(zip(*rows, strict=True)) for rows in zip(counts.tolist(), shares.tolist(), strict=True)]


def _confused(counts: np.ndarray[Any, Any]) -> list[tuple[int, int, int]]:
    """The pairs (label, predicted, count) that are confused most often."""
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSED]
    pairs = [(int(i // len(counts)), int(i % len(counts))) for i in order]
    return [(label, guess, int(wrong[label, guess])) for label, guess in pairs if wrong[label, guess]]


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


def chip(content: Content) -> Context | None:
    """The bill: whether it fits, every figure with its source, limits, cores as heat maps, and the populations."""
    found = content.mapping
    if found is None:
        return None
    limits = {resource["name"]: resource["limit"] for resource in found["resources"]}
    cores = cores_of(content.placement, limits, content.sends) if content.placement else []
    maps = heat_maps(cores)
    return {
        "bill": found,
        "figures": {title: [(f, _value(f)) for f in figures] for title, figures in found["sections"].items()},
        "maps": maps,
        "cores": cores if maps and maps[0].chips[0].squares else [],
        "left_out": len({core.chip for core in cores if core.chip >= MOST_CHIPS}),
        "unplaced": "" if cores else (content.placement.note if content.placement else "It was not placed on cores."),
        "side": SIDE,
        "pitch": SIDE + SPACE,
    }


def _value(figure: Mapping[str, Any]) -> str:
    value = figure["value"]
    return f"not known: {', '.join(figure['absent'])} absent" if value is None else f"{cell(value)} {figure['unit']}"


def rates(content: Content) -> Context:
    """A bar a LIF, by block."""
    spikes = content.observer.spikes()
    top = max((entry.rate for entry in spikes.values()), default=0.0)
    rows = [
        {"name": name, "block": block_of(name), "entry": entry, "share": 100 * entry.rate / top if top else 0.0}
        for name, entry in spikes.items()
    ]
    silent = [name for name, entry in spikes.items() if entry.rate == 0]
    return {"rows": rows, "top": top, "silent": silent, "samples": content.observer.samples}


ROW, PAD = 3, 5  # user units of a neuron, between layers
WIDE, LEAST, MOST = 690, 8, 40  # of the raster without its names; of a time step


def raster(content: Content) -> Context:
    """Ticks of a few neurons of each LIF, over the shown samples back to back."""
    spikes, steps = content.observer.spikes(), content.graph.steps
    count, top, layers = len(content.images), 0, list[Context]()
    step = max(LEAST, min(MOST, WIDE // max(1, count * steps)))
    for name, entry in spikes.items():
        rows = entry.raster.reshape(count * steps, -1)
        places, inset = np.argwhere(rows).tolist(), step // 10
        ticks = "".join(f"M{t * step + inset} {top + n * ROW + 1.5}h{step - 2 * inset}" for t, n in places)
        height = max(rows.shape[1] * ROW, 3 * ROW)
        layers.append({"name": name, "y": top, "height": height, "ticks": ticks, "spikes": int(rows.sum())})
        top += height + PAD
    marks = [(number, place * steps * step) for place, number in enumerate(shown(content))]
    return {
        "layers": layers,
        "marks": marks,
        "width": count * steps * step,
        "height": top,
        "steps": steps,
        "samples": samples(content),
    }


def shown(content: Content) -> list[int]:
    """The numbers, in the data, of the samples that are shown."""
    return [content.observed[place] for place in content.observer.shown if place < content.observer.samples]


def samples(content: Content) -> list[Context]:
    """The shown samples: number, picture, class, label if there is one."""
    made = []
    for number, image in zip(shown(content), content.images, strict=True):
        pixels = svg.picture(image)
        label = None if content.labels is None else int(content.labels[number])
        guess = int(content.logits[number].argmax())
        height, width = pixels.shape[:2]
        made.append(
            {"number": number, "uri": svg.png(pixels), "width": width, "height": height, "class": guess, "label": label}
        )
    return made


def bounds(content: Content) -> Context:
    """For every quantity its tensors: observed inside proven inside limit, on an axis in bits."""
    observed = content.observer.intervals
    groups = []
    for quantity in STATE:
        chosen = [bound for bound in content.bounds if bound.quantity == quantity]
        if chosen:
            top = max(svg.bits(bound.limit.magnitude) for bound in chosen)
            rows = [_bound(bound, observed.get((bound.layer, quantity)), top) for bound in chosen]
            groups.append({"quantity": quantity, "rows": rows, "bits": round(top), "tightest": _tightest(rows)})
    fixed = [bound for bound in content.bounds if bound.quantity not in STATE]
    return {"groups": groups, "fixed": len(fixed), "count": len(content.bounds), "samples": content.observer.samples}


def _bound(bound: Bound, seen: Interval | None, top: float) -> Context:
    """One row: numbers, and spans in percent of the axis -top..top bits."""
    limit = bound.limit.magnitude
    return {
        "layer": bound.layer,
        "proven": bound.interval,
        "limit": bound.limit,
        "seen": seen,
        "used": 100 * bound.interval.magnitude / limit if limit else 0.0,
        "inside": seen is None or seen.within(bound.interval),
        "proven_span": _span(bound.interval, top),
        "limit_span": _span(bound.limit, top),
        "seen_span": None if seen is None else _span(seen, top),
    }


def _span(interval: Interval, top: float) -> tuple[float, float]:
    """(start, width) in percent, at least a hair wide."""
    low, high = (50 + 50 * svg.bits(end) / top for end in (interval.lo, interval.hi))
    return low, max(high - low, 0.6)


def _tightest(rows: list[Context]) -> Context:
    return max(rows, key=lambda row: float(row["used"]))


def attention(content: Content) -> Context | None:
    """The maps of each attention over each shown sample."""
    found = content.observer.attention()
    if not found or not any(found.values()):
        return None
    entries = list(found)
    picked = [entries[(2 * i + 1) * len(entries) // (2 * MOST_MAPS)] for i in range(MOST_MAPS)]
    chosen = entries if len(entries) <= MOST_MAPS else picked
    rows = [
        {
            "layer": entry.layer,
            "kind": entry.kind,
            "words": entry.words,
            "grid": entry.grid,
            "maps": [(svg.overlay(n), int(n.max()), float((n == 0).mean())) for n in found[entry].values()],
        }
        for entry in chosen
    ]
    return {"rows": rows, "samples": samples(content), "left_out": len(entries) - len(chosen)}
