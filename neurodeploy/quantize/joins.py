"""Currents that are added, and spikes that join them: by depthwise 1x1 convolutions and additions alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodeploy.ir.graph import Attribute, Node, tensor
from neurodeploy.quantize.builder import Builder, Quantity, Refused

JOIN_MOST = 127  # the largest weight of a joining spike, before it is doubled
ROUNDING = 1e-6  # float noise of a ratio of scales, relative


def add_currents(build: Builder, node: Node) -> None:
    """Currents of one unit are added, and their biases; spikes and counts get a weight that is worth theirs."""
    a, b = (build.values[name] for name in node.inputs)
    first, second = (name in build.streams for name in node.inputs)
    a = a if first else _joined(build, node, a, b.scale)
    b = b if second else _joined(build, node, b, a.scale)
    require_one_scale(a, b)
    bias = [quantity.bias for quantity in (a, b) if quantity.bias is not None]
    name = build.emit("add", node, (a.name, b.name), {})
    build.values[node.name] = Quantity(name, a.scale, sum(bias[1:], bias[0]) if bias else None)


def require_one_scale(a: Quantity, b: Quantity) -> None:
    """Integers of two scales cannot be added. Raises Refused."""
    if not np.isclose(a.scale, b.scale, rtol=1e-9):
        need, have = "two values of one scale", f"scales {a.scale:.6g} and {b.scale:.6g}"
        raise Refused("ND-Q021", need, have, "add spikes, counts or currents that no factor or mean divides")


def _joined(build: Builder, node: Node, spikes: Quantity, unit: float) -> Quantity:
    """Spikes or counts as a current, where one is worth a whole number of its units. Raises Refused."""
    worth = spikes.scale / unit
    weight = round(worth)
    if abs(weight - worth) > ROUNDING * worth or not weight or weight % (1 << doublings(weight)):
        need, have = f"a spike worth a whole number of units, {JOIN_MOST} or doubled", f"{worth:.6g} units"
        raise Refused("ND-Q024", need, have, "add spikes of one scale to a current")
    return Quantity(weighted(build, replace(node, name=f"{node.name}.joining"), spikes.name, weight), unit)


def weighted(build: Builder, like: Node, spikes: str, weight: int) -> str:
    """Spikes times a weight of +-m 2^e, m at most JOIN_MOST: a depthwise convolution, doubled e times."""
    shape, power = build.types[spikes].shape, doublings(weight)
    rank = len(shape) - 1
    weights = tensor(np.full((shape[0], 1, *(1,) * rank), weight >> power), np.int8)
    window: dict[str, Attribute] = {"stride": (1,) * rank, "padding": (0,) * rank, "groups": shape[0]}
    return doubled(build, like, build.emit("conv", like, (spikes,), window, {"weight": weights}), power)


def doublings(weight: int) -> int:
    """How often an int8 weight has to be doubled to be this one."""
    power = 0
    while abs(weight) >> power > JOIN_MOST:
        power += 1
    return power


def doubled(build: Builder, like: Node, name: str, times: int) -> str:
    """A value added to itself as often as it takes."""
    for power in range(1, times + 1):
        name = build.emit("add", replace(like, name=f"{like.name}.times{1 << power}"), (name, name), {})
    return name
