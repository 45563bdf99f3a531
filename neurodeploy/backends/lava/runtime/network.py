"""The network folder in memory: populations, crossbars, encoding, probes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = "neurodeploy-lava"
VERSION = 4
INDICES = ("rows", "cols")  # in the file each is the difference to the one before it
Shape = tuple[int, ...]
Views = tuple[tuple[str, Shape], ...]


class NetworkError(Exception):
    """The folder, the images or the request cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Population:
    """Neurons of one kind; see network.json in the README. bias_mant, phase: int64, broadcast to shape.

    du: 1..4096, what the current loses a step in 1/4096; 4096: it lasts for its step alone.
    phase: how many time steps of a period before its depth a neuron is busy, -1 for each.
    """

    name: str
    kind: str
    shape: Shape
    depth: int
    message_bits: int
    vth: int
    dv: int
    du: int
    bias_mant: NDArray[np.int64]
    bias_exp: int
    resets: bool
    phase: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Neurons."""
        return prod(self.shape)


@dataclass(frozen=True)
class Crossbar:
    """Synapses from source to one input port of target; takes 1 + delay time steps.

    kind "sparse": arrays rows, cols, weights.  kind "conv": array weight [Co, Ci / groups, Kh, Kw].
    """

    name: str
    kind: str
    source: str
    target: str
    port: str
    delay: int
    exponent: int
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    in_views: Views
    out_views: Views
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Probe:
    """A LIF value: its population, or one of the network's wholes, and the views that give it the value's shape."""

    population: str
    views: Views


@dataclass(frozen=True)
class Whole:
    """A layer of several thresholds, one population each: population -> where its neurons lie among the layer's."""

    shape: Shape
    parts: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Network:
    """A mapped network; samples of `steps` steps, of `period` time steps each, stream back to back.

    events: a sample is event frames [T, *shape], one a step, and no image that stays for T steps.
    """

    name: str
    steps: int
    period: int
    step: float
    lo: int
    hi: int
    events: bool
    populations: Mapping[str, Population]
    crossbars: tuple[Crossbar, ...]
    output: str
    output_bias: NDArray[np.int64]
    output_scale: float
    probes: Mapping[str, Probe]
    wholes: Mapping[str, Whole]

    @property
    def source(self) -> Population:
        """The population that sends the pixels."""
        return next(p for p in self.populations.values() if p.kind == "source")

    @property
    def span(self) -> int:
        """Time steps of a sample."""
        return self.steps * self.period

    def frames(self, images: NDArray[Any]) -> NDArray[np.int32]:
        """Payloads of the source, int32 [N, T, *shape].

        images: [N, *shape], shown in each of the T steps, or [N, T, *shape], as events have to be; they become
        clip(rint(x / step), lo, hi) in float32. Integers that are no event counts are codes, taken as they are.
        """
        shape = self.source.shape
        static = images.shape[1:] == shape and not self.events
        if not (static or images.shape[1:] == (self.steps, *shape)) or not images.shape[0]:
            wanted = ", ".join(map(str, (self.steps, *shape) if self.events else shape))
            raise NetworkError(f"images have shape {images.shape}, the network takes [N, {wanted}], N at least 1")
        if self.events or np.issubdtype(images.dtype, np.floating):
            if not np.isfinite(images).all():
                raise NetworkError("images hold NaN or infinity")
            levels = np.rint(images.astype(np.float32) / np.float32(self.step))
            images = np.clip(levels, self.lo, self.hi)
        elif images.min() < self.lo or images.max() > self.hi:
            raise NetworkError(f"integer images leave {self.lo}..{self.hi}")
        frames = images.astype(np.int32)
        return np.repeat(frames[:, None], self.steps, axis=1) if static else frames


def load(folder: Path) -> Network:
    """Read network.json and network.npz; the checksum of the arrays must fit. Raises NetworkError."""
    try:
        plain = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        data = (folder / "network.npz").read_bytes()
    except (OSError, ValueError) as error:
        raise NetworkError(f"{folder} is no network folder: {error}") from None
    if plain.get("format") != FORMAT or plain.get("version") != VERSION:
        raise NetworkError(f"{folder} has format {plain.get('format')} {plain.get('version')}, not {FORMAT} {VERSION}")
    if hashlib.sha256(data).hexdigest() != plain["arrays_sha256"]:
        raise NetworkError(f"{folder / 'network.npz'} is damaged: its checksum differs; export the network again")
    with np.load(folder / "network.npz", allow_pickle=False) as arrays:
        return _network(plain, arrays)


def apply_views(array: NDArray[Any], views: Views, axes: int = 0) -> NDArray[Any]:
    """Reshape and permute an array, leaving its first `axes` axes. Raises NetworkError for any other view."""
    for kind, dims in views:
        if kind == "reshape":
            array = array.reshape(array.shape[:axes] + dims)
        elif kind == "permute":
            array = array.transpose(*range(axes), *(axes + dim for dim in dims))
        else:
            raise NetworkError(f"views are reshape and permute, not {kind}")
    return array


def _views(plain: list[Any]) -> Views:
    return tuple((str(kind), tuple(int(dim) for dim in dims)) for kind, dims in plain)


def _network(plain: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Network:
    populations = [_population(fields, arrays) for fields in plain["populations"]]
    return Network(
        name=plain["name"],
        steps=plain["steps"],
        period=plain["period"],
        step=plain["encoding"]["step"],
        lo=plain["encoding"]["lo"],
        hi=plain["encoding"]["hi"],
        events=plain["encoding"]["events"],
        populations={population.name: population for population in populations},
        crossbars=tuple(_crossbar(fields, arrays) for fields in plain["crossbars"]),
        output=plain["output"]["population"],
        output_bias=arrays["output_bias"].astype(np.int64),
        output_scale=plain["output"]["scale"],
        probes={name: Probe(p["population"], _views(p["views"])) for name, p in plain["probes"].items()},
        wholes={name: _whole(fields, arrays) for name, fields in plain.get("wholes", {}).items()},
    )


def _whole(fields: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Whole:
    return Whole(tuple(fields["shape"]), {name: np.cumsum(arrays[key]) for name, key in fields["parts"].items()})


def _population(fields: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Population:
    bias = arrays[fields["bias_mant"]] if fields["bias_mant"] else np.zeros((), np.int64)
    phase = arrays[fields["phase"]] if fields["phase"] else np.zeros((), np.int64)
    known = {key: value for key, value in fields.items() if key not in ("shape", "bias_mant", "phase", "value")}
    bias, phase = bias.astype(np.int64), phase.astype(np.int64)
    return Population(**known, shape=tuple(fields["shape"]), bias_mant=bias, phase=phase)


def _crossbar(fields: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Crossbar:
    parts = {part: arrays[key] for part, key in fields["arrays"].items()}
    parts |= {part: np.cumsum(parts[part], dtype=np.int32) for part in INDICES if part in parts}
    return Crossbar(
        name=fields["name"],
        kind=fields["kind"],
        source=fields["source"],
        target=fields["target"],
        port=fields["port"],
        delay=fields["delay"],
        exponent=fields["exponent"],
        stride=tuple(fields["stride"]),
        padding=tuple(fields["padding"]),
        groups=fields["groups"],
        in_views=_views(fields["in_views"]),
        out_views=_views(fields["out_views"]),
        arrays=parts,
    )
