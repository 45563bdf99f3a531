"""Arithmetic of views: which axes a reshape splits or merges, and how a split passes a permute."""

from __future__ import annotations

from math import prod

Groups = list[tuple[int, ...]]


def groups(whole: tuple[int, ...], parts: tuple[int, ...]) -> Groups | None:
    """For each axis of `whole` the axes of `parts` that it splits into, in order; None if it is no such split."""
    found: Groups = []
    start = 0
    for size in whole:
        stop, product = start + 1, parts[start] if start < len(parts) else 0
        while product < size and stop < len(parts):
            product *= parts[stop]
            stop += 1
        if product != size:
            return None
        found.append(tuple(range(start, stop)))
        start = stop
    return found if start == len(parts) else None


def split_first(
    permute: tuple[int, ...], split: Groups, after: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A permute and then a split and then a permute, as a split and then one permute.

    permute: axes of the first permute.  split: parts of each of its results.  after: axes of the second permute.
    Returns the parts in the order in which the unpermuted value splits, and the axes of the one permute.
    """
    parts = tuple(part for axis in range(len(permute)) for part in split[permute.index(axis)])
    return parts, tuple(parts.index(part) for part in after)


def cut(
    before: tuple[int, ...], after: tuple[int, ...], axis: int, start: int, stop: int
) -> tuple[int, int, int] | None:
    """A slice behind a reshape as one in front of it: axis, start and stop in `before`; None if it is none there."""
    outer, inner = prod(after[:axis]), prod(after[axis + 1 :])
    for place, size in enumerate(before):
        unit = prod(before[place + 1 :])
        if size > 1 and prod(before[:place]) == outer and not (start * inner % unit or stop * inner % unit):
            return place, start * inner // unit, stop * inner // unit
    return None
