"""Firing rates, raster, bounds beside observed values, and attention: rows and geometry."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.ir.proof import Bound
from neurodeploy.ir.types import Interval
from neurodeploy.report.page import svg
from neurodeploy.report.page.content import Content

Context = dict[str, Any]
MOST_MAPS = 8  # attentions that are laid over the samples
STATE = ("membrane", "activation", "accumulator", "input payload", "payload", "difference in a window")


def rates(content: Content) -> Context:
    """A bar a LIF, by block."""
    spikes = content.observer.spikes()
    top = max((entry.rate for entry in spikes.values()), default=0.0)
    rows = [
        {"name": name, "entry": entry, "share": 100 * entry.rate / top if top else 0.0}
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
