"""What the figures share: colours, small images, scales. The shapes themselves stand in the templates."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from math import copysign, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# Anchors of two perceptually uniform maps that also read in grey: viridis (matplotlib, CC0) and inferno (same).
VIRIDIS = ("440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725")
INFERNO = ("000004", "1b0c41", "4a0c6b", "781c6d", "a52c60", "cf4446", "ed6925", "fb9b06", "f7d13d", "fcffa4")


def colours(values: NDArray[Any], anchors: Sequence[str] = VIRIDIS) -> Pixels:
    """Values in 0..1, any shape, as RGB in 0..255."""
    table = np.array([[int(anchor[i : i + 2], 16) for i in (0, 2, 4)] for anchor in anchors], np.float64)
    place = np.clip(np.asarray(values, np.float64), 0, 1) * (len(table) - 1)
    low = np.minimum(place.astype(np.int64), len(table) - 2)
    part = (place - low)[..., None]
    return np.asarray(np.rint(table[low] * (1 - part) + table[low + 1] * part), np.uint8)


def colour(value: float, anchors: Sequence[str] = VIRIDIS) -> str:
    """A value in 0..1 as #rrggbb."""
    return "#" + bytes(colours(np.array(value), anchors)).hex()


def png(pixels: Pixels) -> str:
    """Pixels [H, W, 3 or 4] as the data URI of a PNG."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))
    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, parts))
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _chunk(part: tuple[bytes, bytes]) -> bytes:
    kind, data = part
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(sample: NDArray[np.float32], most: int = 96) -> Pixels:
    """A sample as RGB [h, w, 3], from its darkest to its brightest value, at most `most` pixels a side.

    [1, H, W] grey, [3, H, W] RGB, other channels as their mean; event frames [T, C, H, W] are summed over time, and two
    channels (polarities) become red and blue on white. Features without places, [T, n] or [n], are a row a step.
    """
    frame = sample.sum(axis=0) if sample.ndim == 4 else sample.reshape((1,) * (3 - sample.ndim) + sample.shape)
    step = -(-max(frame.shape[1:]) // most)
    height, width = (size // step * step for size in frame.shape[1:])
    frame = frame[:, :height, :width].reshape(len(frame), height // step, step, width // step, step).mean(axis=(2, 4))
    frame = frame if len(frame) in (2, 3) else frame.mean(axis=0, keepdims=True)
    low, high = float(frame.min()), float(frame.max())
    unit = (frame - low) / (high - low if high > low else 1.0)
    if len(unit) == 2:
        on, off = unit
        rgb = np.stack([1 - off, 1 - np.maximum(on, off), 1 - on])
    else:
        rgb = np.broadcast_to(unit, (3, *unit.shape[1:]))
    return np.asarray(np.rint(rgb.transpose(1, 2, 0) * 255), np.uint8)


def overlay(tokens: NDArray[Any], opacity: float = 0.72) -> str:
    """Counts a token [h, w] as an image to lay over the sample; black where the count is 0."""
    top = float(tokens.max())
    rgb = colours(tokens / top if top > 0 else np.zeros_like(tokens, np.float64), INFERNO)
    alpha = np.full((*tokens.shape, 1), round(opacity * 255), np.uint8)
    return png(np.concatenate([rgb, alpha], axis=2))


def bits(value: float) -> float:
    """The signed number of bits of a magnitude, sign(x) log2(1 + |x|): an axis on which 0, 1 and 2^23 all show."""
    return copysign(log2(1 + abs(value)), value)


def number(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
