"""Arithmetic of views: which axes a reshape splits or merges, and how a split passes a permute."""

from __future__ import annotations

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
