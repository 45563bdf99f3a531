"""Convolutions as matrix products over unfolded windows, in parts that a bounded memory holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.graph import Node

Array = NDArray[Any]
COLUMNS = 1 << 23  # entries of the unfolded windows at a time: 32 MB in float32


def in_parts(count: int, most: int) -> Iterator[slice]:
    """Slices of so many samples at most, at least one."""
    step = max(1, most)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def unfold(node: Node, kernel: tuple[int, ...], x: Array, dtype: Any) -> Array:
    """Windows [M, groups, fan-in, positions] of values [M, Ci, *S]; the fan-in in the order of a weight's axes."""
    groups, stride, padding = node.integer("groups"), node.integers("stride"), node.integers("padding")
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)]) if any(padding) else x
    sizes = [(n - k) // s + 1 for n, k, s in zip(padded.shape[2:], kernel, stride, strict=False)]
    columns = np.empty((len(x), x.shape[1], int(np.prod(kernel, dtype=int)), *sizes), dtype)
    for i, tap in enumerate(np.ndindex(*kernel)):
        window = [slice(t, t + (n - 1) * s + 1, s) for t, n, s in zip(tap, sizes, stride, strict=False)]
        index = (slice(None), slice(None), *window)
        columns[:, :, i] = padded[index]
    return columns.reshape(len(x), groups, -1, int(np.prod(sizes, dtype=int)))


def parts(node: Node, weight: Array, x: Array) -> Iterator[slice]:
    """Slices of the samples [M, Ci, *S] whose windows fit COLUMNS."""
    return in_parts(len(x), COLUMNS // max(1, x[:1].size * int(np.prod(weight.shape[2:], dtype=int))))


def convolve(node: Node, weight: Array, x: Array, dtype: Any) -> Array:
    """Convolution [T, N, Co, *S'] of [T, N, Ci, *S] with a weight [Co, Ci / groups, *K], in a float dtype."""
    flat, groups = x.reshape(-1, *x.shape[2:]), node.integer("groups")
    rows = weight.astype(dtype).reshape(groups, len(weight) // groups, -1)
    kernel = weight.shape[2:]
    done = [rows @ unfold(node, kernel, flat[part], dtype) for part in parts(node, weight, flat)]
    sizes = [
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(x.shape[3:], node.integers("padding"), kernel, node.integers("stride"), strict=False)
    ]
    return np.concatenate(done).reshape(*x.shape[:2], len(weight), *sizes)
