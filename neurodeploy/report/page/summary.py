"""The summary and the accuracy of the page: rows and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any

import numpy as np

from neurodeploy.report.mapping import value
from neurodeploy.report.page.content import Content
from neurodeploy.report.page.graph import TIMES
from neurodeploy.report.text import cell

Context = dict[str, Any]
MOST_CLASSES = 20  # that a confusion matrix is drawn for
MOST_CONFUSED = 15  # pairs of classes that are listed
UNMAPPED = "The network was not mapped onto a chip."
ANSWERS = (  # section, figure of the bill: in the summary
    ("pipeline", "latency of the first sample"),
    ("pipeline", "throughput"),
    ("energy", "energy a sample"),
    ("energy", "energy a sample, known parts"),
)


def summary(content: Content) -> Context:
    """The first figures, and the table under them."""
    document = content.document
    rows = [
        ("Model", document["name"]),
        ("Compiled for", document["target"] or "none"),
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
    return {"rows": [(name, cell(entry)) for name, entry in rows], "tiles": list(_tiles(content))}


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


def _with_error(accuracy: float, samples: int) -> str:
    """An accuracy with its binomial standard error."""
    return f"{accuracy:.2f} % ± {standard_error(accuracy, samples):.2f} ({samples:,} samples)"


def standard_error(accuracy: float, samples: int) -> float:
    """Binomial standard error of an accuracy, in points: sqrt(p (1 - p) / n)."""
    share = accuracy / 100
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
        yield "On the chip", f"{size['neurons']:,} neurons, {size['synapses']:,} synapses"
    for section, name in ANSWERS:
        for figure in content.mapping["sections"].get(section, ()):
            if figure["name"] == name and figure["value"] is not None:
                yield name.capitalize(), f"{value(figure)} ({figure['status']})"


def _counted(content: Content, what: str) -> object:
    """Cores or chips of the mapping, or why they are not known."""
    if content.mapping is None:
        return f"not known: {content.reasons.get('chip', UNMAPPED)}"
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
        count, right = found["samples"], found["integer_accuracy"]
        yield "integer accuracy", f"{right:.2f} %", f"± {standard_error(right, count):.2f}, {count:,} samples"
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
    known = [(name, right, standard_error(right, found["samples"])) for name, right in pairs if right is not None]
    floor = max(0.0, min(right - 3 * error for _, right, error in known) - 1)
    classes = content.document["classes"]
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, content.logits.argmax(axis=1)), 1)
    return {
        "known": known,
        "floor": floor,
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
