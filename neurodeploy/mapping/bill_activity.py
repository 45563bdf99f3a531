"""How often each neuron of a chip network sends, and how many synapses that reaches.

A message is a spike or a payload that is not zero. A population that was not measured is taken to send in every step,
an upper bound; its rate is then one number for all its neurons, so that nothing grows with the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from neurodeploy.ir.chip import ChipNetwork, Filters, Grid, Nest, Synapses

Rates = NDArray[np.float64]
MEASURED, BOUND = "measured", "bound"


@dataclass(frozen=True)
class Activity:
    """Messages a neuron and step of every population.

    rates: population -> float64 of its shape, 0..1, or 0-d where all its neurons have the same.
    status: population -> "measured" or "bound".  samples: that were measured, 0 for none.
    """

    network: ChipNetwork
    rates: Mapping[str, Rates]
    status: Mapping[str, str]
    samples: int

    @property
    def worst(self) -> str:
        """`measured` where all populations are, else `bound`."""
        return MEASURED if set(self.status.values()) == {MEASURED} else BOUND

    def messages(self, name: str) -> float:
        """Messages that a population sends a step."""
        rates = self.rates[name]
        return float(rates) * self.network.by_name[name].size if rates.ndim == 0 else float(rates.sum())


def activity(network: ChipNetwork, measured: Mapping[str, Rates] | None = None, samples: int = 0) -> Activity:
    """The activity of every population.

    measured: population -> rates of its neurons, of `samples` samples (`bill_meter.Meter`).
    """
    given = measured or {}
    rates = {n.name: given.get(n.name, np.ones((), np.float64)) for n in network.neurons}
    status = {n.name: MEASURED if n.name in given else BOUND for n in network.neurons}
    return Activity(network, rates, status, samples)


def arriving(synapses: Synapses, values: Rates, *, weighted: bool = False) -> Rates:
    """What arrives at each neuron of the target in a step, flat float64.

    values: of the source's shape, or 0-d: rates, which give messages a step through synapses that are not zero, or
    weighted, payloads, which give the sums of payload times weight, exact below 2^53.
    """
    found, values = np.zeros(prod(synapses.target_shape)), np.broadcast_to(values, synapses.source_shape)
    pattern = synapses.pattern
    if isinstance(pattern, Nest):
        weight = pattern.weight.astype(np.float64) if weighted else _used(pattern.weight)
        came = np.broadcast_to(weight * _strided(values, _source(pattern)), pattern.sizes)
        summed = tuple(i for i, axis in enumerate(pattern.axes) if axis.target == 0)
        kept = [axis for axis in pattern.axes if axis.target != 0]
        strip = _Strip(pattern.target, tuple(axis.size for axis in kept), tuple(axis.target for axis in kept))
        _scatter(found, strip, came.sum(axis=summed) if summed else came)
        return np.floor(np.ldexp(found, pattern.exponent)) if weighted else found
    weights = pattern.weight.astype(np.float64) if weighted else _used(pattern.weight)
    for kernel, source, target in _taps(pattern, weights):
        came = np.einsum("goi,giyx->goyx", kernel, _strided(values, source), optimize=True)
        _scatter(found, target, np.asarray(came, np.float64))
    return found


def _used(weight: NDArray[np.int64]) -> Rates:
    return np.asarray(weight != 0, np.float64)


def events(synapses: Synapses, rates: Rates) -> float:
    """Synaptic events a step: each message times the synapses of its neuron whose weight is not zero."""
    pattern = synapses.pattern
    if rates.ndim == 0:
        return float(rates) * synapses.nonzero
    if isinstance(pattern, Filters):
        taps = ((k, _strided(rates, source).sum(axis=(2, 3))) for k, source, _ in _taps(pattern, _used(pattern.weight)))
        return sum(float(np.einsum("goi,gi->", kernel, seen)) for kernel, seen in taps)
    weight, strip = _used(pattern.weight), _source(pattern)
    if weight.ndim:
        return float(np.sum(weight * _strided(rates, strip)))
    moved = [(axis.size, axis.source) for axis in pattern.axes if axis.source]  # the others repeat the same axon
    sizes, strides = tuple(size for size, _ in moved), tuple(stride for _, stride in moved)
    repeats = prod(strip.sizes) // prod(sizes) if prod(sizes) else 0
    return float(weight) * repeats * float(_strided(rates, _Strip(strip.offset, sizes, strides)).sum())


@dataclass(frozen=True)
class _Strip:
    """Flat indices offset + sum(i * stride), each i below its size."""

    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


def _source(nest: Nest) -> _Strip:
    return _Strip(nest.source, nest.sizes, tuple(axis.source for axis in nest.axes))


def _strided(values: Rates, strip: _Strip) -> Rates:
    """The values at the indices of a strip, a view."""
    flat = np.ascontiguousarray(values, np.float64).reshape(-1)[strip.offset :]
    return as_strided(flat, strip.sizes, tuple(8 * stride for stride in strip.strides), writeable=False)


def _scatter(found: Rates, strip: _Strip, values: Rates) -> None:
    """Add values to those at the indices of a strip, where several may be the same."""
    reach, apart = 0, True
    for stride, size in sorted(zip(strip.strides, strip.sizes, strict=True)):
        apart, reach = apart and stride > reach, reach + stride * (size - 1)
    if apart and all(strip.sizes):
        as_strided(found[strip.offset :], strip.sizes, tuple(8 * stride for stride in strip.strides))[...] += values
        return
    index = np.asarray(strip.offset, np.int64)
    for size, stride in zip(strip.sizes, strip.strides, strict=True):
        index = index[..., None] + np.arange(size) * stride
    np.add.at(found, index, values)


def _taps(filters: Filters, weight: Rates) -> Iterator[tuple[Rates, _Strip, _Strip]]:
    """For each tap of the kernel: (weight [groups, out, in], sources, targets), where it lies in the image.

    The strips have axes (groups, in or out, rows, columns).
    """
    size, inputs = filters.weight.shape[0] // filters.groups, filters.weight.shape[1]
    kernel = weight.reshape(filters.groups, size, *weight.shape[1:])
    for y, x in np.ndindex(*filters.weight.shape[2:]):
        rows, columns = _seen(filters, 0, y), _seen(filters, 1, x)
        at = tuple(
            seen.start * stride + tap - pad
            for seen, stride, tap, pad in zip((rows, columns), filters.stride, (y, x), filters.padding, strict=True)
        )
        area = (len(rows), len(columns))
        if all(area):
            source = _plane(filters.source, (filters.groups, inputs, *area), (at[0], at[1]), filters.stride)
            target = _plane(filters.target, (filters.groups, size, *area), (rows.start, columns.start), (1, 1))
            yield kernel[..., y, x], source, target


def _seen(filters: Filters, axis: int, tap: int) -> range:
    """The output positions along an image axis whose tap lies in the image."""
    stride, shift = filters.stride[axis], tap - filters.padding[axis]
    first = max(0, -(shift // stride))
    last = min(filters.size_out[axis], (filters.size_in[axis] - 1 - shift) // stride + 1)
    return range(first, max(first, last))


def _plane(grid: Grid, sizes: tuple[int, ...], at: tuple[int, int], stride: tuple[int, int]) -> _Strip:
    """Groups, channels of a group, rows and columns of an image, from a place on."""
    strides = (grid.channel * sizes[1], grid.channel, grid.row * stride[0], grid.column * stride[1])
    return _Strip(grid.offset + at[0] * grid.row + at[1] * grid.column, sizes, strides)
