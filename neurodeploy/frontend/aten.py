"""The table of ATen ops: for each, how it becomes canonical nodes. What is not in the table is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite, prod
from typing import Any

import numpy as np
import torch

from neurodeploy.frontend.axes import Value, common, permuted, repeated, reshaped
from neurodeploy.frontend.call import Call, Handler, called
from neurodeploy.frontend.parts import PARTS, element
from neurodeploy.ir.graph import Tensor, tensor
from neurodeploy.ir.infer import IllegalNode, require


def _leading(call: Call, name: str) -> Value:
    """An argument read as [T or B, *step]: the axes that a convolution or a batch norm works on."""
    value = call.value(name)
    if value.leads:
        return value
    require(value.time == 0, "a tensor [T*B, ...] with time or batch in front", f"shape {value.shape}")
    step = call.build.reshape(value.name, value.shape[1:], call.source)
    return replace(value, name=step, batch=None)


def _alias(call: Call) -> Value:
    value = call.value("self" if "self" in call.arguments else "input")
    require(not call.flag("train"), "dropout in eval mode", "dropout in train mode")
    _floats(call)
    return value


def _floats(call: Call) -> None:
    require(call.flag("dtype") in (None, torch.float32, torch.float64), "floats", f"{call.flag('dtype')}")


def _reshape(call: Call) -> Value:
    require(call.flag("dtype") is None, "a view of another shape", f"bits read as {call.flag('dtype')}")
    value = reshaped(call.value("self"), call.shape)
    return replace(value, name=call.build.reshape(value.name, value.step_shape, call.source))


def _permute_by(call: Call, axes: list[int]) -> Value:
    value, step_axes = permuted(call.value("self"), axes)
    return replace(value, name=call.build.permute(value.name, step_axes, call.source))


def _permute(call: Call) -> Value:
    return _permute_by(call, call.arguments["dims"])


def _transpose(call: Call) -> Value:
    rank = len(call.shape)
    axes = list(range(rank))
    first, second = call.arguments.get("dim0", 0) % rank, call.arguments.get("dim1", 1 % rank) % rank
    axes[first], axes[second] = second, first
    return _permute_by(call, axes)


def _repeat(call: Call) -> Value:
    return repeated(call.value("self"), call.shape)


def _padding(call: Call, kernel: tuple[int, ...]) -> tuple[int, ...]:
    given = call.arguments["padding"]
    if given == "same":
        require(all(k % 2 for k in kernel), "an odd kernel for padding='same'", kernel)
        return tuple(k // 2 for k in kernel)
    return (0,) * len(kernel) if given == "valid" else call.ints("padding", len(kernel))


def _conv(call: Call) -> Value:
    x, weight = _leading(call, "input"), call.array("weight")
    kernel = weight.shape[2:]
    require(
        set(call.ints("dilation", len(kernel))) == {1}, "a convolution without dilation", call.arguments["dilation"]
    )
    attributes = {
        "stride": call.ints("stride", len(kernel)),
        "padding": _padding(call, kernel),
        "groups": int(call.arguments["groups"]),
    }
    return call.like(x, call.build.make("conv", (x.name,), attributes, call.source, **_weights(call, weight)))


def _weights(call: Call, weight: Tensor) -> dict[str, Tensor]:
    bias = {} if call.arguments["bias"] is None else {"bias": call.array("bias")}
    return {"weight": weight, **bias}


def _linear(call: Call) -> Value:
    x, weight = call.value("input"), call.array("weight")
    require(len(x.shape) - 1 in x.kept, "features on the last axis", f"shape {x.shape}")
    step, build, source = x.step_shape, call.build, call.source
    if len(step) == 1:
        window: dict[str, Any] = {"stride": (), "padding": (), "groups": 1}
        return call.like(x, build.make("conv", (x.name,), window, source, **_weights(call, weight)))
    tokens = build.reshape(x.name, (prod(step[:-1]), step[-1]), source)
    channels = build.permute(tokens, (1, 0), source)
    channels = build.reshape(channels, (step[-1], prod(step[:-1])), source)
    window = {"stride": (1,), "padding": (0,), "groups": 1}
    tensors = _weights(call, tensor(weight[..., None], weight.dtype))
    out = build.make("conv", (channels,), window, source, **tensors)
    back = build.permute(out, (1, 0), source)
    return call.like(x, build.reshape(back, (*step[:-1], weight.shape[0]), source))


def _batch_norm(call: Call) -> Value:
    x = _leading(call, "input")
    require(not call.flag("training"), "batch norm in eval mode", "batch norm in train mode")
    require(call.arguments["running_mean"] is not None, "running statistics", "track_running_stats=False")
    mean, variance = (call.array(n).astype(np.float64) for n in ("running_mean", "running_var"))
    variance = variance + float(call.arguments["eps"])
    require(bool((variance > 0).all()), "running_var + eps above zero", float(variance.min(initial=np.inf)))
    scale = 1.0 / np.sqrt(variance)
    if call.arguments["weight"] is not None:
        scale = scale * call.array("weight")
    shift = -mean * scale
    if call.arguments["bias"] is not None:
        shift = shift + call.array("bias")
    tensors = {"scale": tensor(scale, np.float64), "shift": tensor(shift, np.float64)}
    return replace(x, name=call.build.batchnorm(x.name, call.source, **tensors))


def _neuron(call: Call) -> Value:
    x, path = call.value("x"), call.arguments["path"]
    have = f"shape {x.shape}, T = {call.steps}"
    whole = call.single or (x.time == 0 and x.shape[0] == call.steps)
    require(whole, f"the T = {call.steps} time steps as leading axis", have)
    neuron = call.neurons[path]
    attributes = {"decay": neuron.decay, "threshold": neuron.threshold, "decay_input": int(neuron.decay_input)}
    return replace(x, name=call.build.elementwise("neuron", x.name, attributes, call.source))


def _max_pool(call: Call) -> Value:
    x, kernel_rank = _leading(call, "self"), len(call.shape) - 2
    kernel = call.ints("kernel_size", kernel_rank)
    require(set(call.ints("dilation", kernel_rank)) == {1}, "a pool without dilation", call.arguments["dilation"])
    attributes = {
        "kernel": kernel,
        "stride": call.ints("stride", kernel_rank) if call.arguments["stride"] else kernel,
        "padding": call.ints("padding", kernel_rank),
    }
    out = call.build.make("max_pool", (x.name,), attributes, call.source)
    shape = call.build.shapes[out]
    require(shape == call.shape[1:], "ceil_mode=False", f"ceil_mode gives {call.shape[1:]} for {shape}")
    return call.like(x, out)


def _aligned(call: Call, first: str, second: str) -> tuple[Value, Value]:
    """Two traced arguments whose batch stands at the same axis."""
    a, b = call.value(first), call.value(second)
    batch = common(a, b)
    return _with_batch(call, a, batch), _with_batch(call, b, batch)


def _with_batch(call: Call, value: Value, batch: int | None) -> Value:
    if value.batch == batch:
        return value
    moved = replace(value, batch=batch)
    return replace(moved, name=call.build.reshape(value.name, moved.step_shape, call.source))


def _add(call: Call) -> Value:
    require(call.flag("alpha") in (None, 1), "a plain sum", f"alpha {call.flag('alpha')}")
    a, b = _aligned(call, "self", "other")
    return call.like(a, call.build.add(a.name, b.name, call.source))


def _rsub(call: Call) -> Value:
    return _one_minus(call, call.arguments["self"], call.arguments["other"])


def _sub(call: Call) -> Value:
    return _one_minus(call, call.arguments["other"], call.arguments["self"])


def _one_minus(call: Call, x: Any, whole: Any) -> Value:
    plain = not isinstance(whole, Value) and call.flag("alpha") in (None, 1)
    if not (plain and isinstance(x, Value) and _number(whole) == 1):
        raise IllegalNode("a sum, or 1 - x", "another difference")
    return replace(x, name=call.build.complement(x.name, call.source))


def _mul(call: Call) -> Value:
    a, b = call.arguments["self"], call.arguments["other"]
    if isinstance(a, Value) and isinstance(b, Value):
        a, b = _aligned(call, "self", "other")
        return call.like(a, call.build.make("mul", (a.name, b.name), {}, call.source))
    name, factor = ("self", b) if isinstance(a, Value) else ("other", a)
    x = call.value(name)
    require(x.shape == call.shape, "a factor that keeps the shape", f"{x.shape} to {call.shape}")
    return replace(x, name=call.build.scale(x.name, _number(factor), call.source))


def _div(call: Call) -> Value:
    require(call.flag("rounding_mode") is None, "a true division", f"{call.flag('rounding_mode')}")
    x, divisor = call.value("self"), _number(call.arguments["other"])
    require(divisor != 0, "a divisor that is not zero", divisor)
    require(x.shape == call.shape, "a divisor that keeps the shape", f"{x.shape} to {call.shape}")
    return replace(x, name=call.build.scale(x.name, 1.0 / divisor, call.source))


def _number(factor: Any) -> float:
    """A factor that is one number, also as a parameter. Raises IllegalNode."""
    if isinstance(factor, torch.Tensor):
        require(factor.numel() == 1, "a factor that is one number", f"a tensor {tuple(factor.shape)}")
    else:
        require(isinstance(factor, (int, float)), "a factor that is one number", "a computed tensor")
    require(isfinite(factor), "a finite factor", float(factor))
    return float(factor)


def _matmul(call: Call) -> Value:
    a, b = _aligned(call, "self", "mat2" if "mat2" in call.arguments else "other")
    last = {len(call.shape) - 1, len(call.shape) - 2}
    require(last <= set(a.kept) and last <= set(b.kept), "matrices of one time step", f"{a.shape} and {b.shape}")
    return call.like(a, call.build.matmul(a.name, b.name, call.source))


def _reduce(call: Call, op: str) -> Value:
    x = call.value("self")
    _floats(call)
    given = call.flag("dim")
    require(given not in (None, []), "a reduction over named axes", "one over all axes, time and batch with them")
    return _reduced(call, op, x, {axis % len(x.shape) for axis in call.ints("dim", 1)}, bool(call.flag("keepdim")))


def _reduced(call: Call, op: str, x: Value, axes: set[int], keepdim: bool) -> Value:
    require(x.batch not in axes, "a reduction that leaves the samples apart", "one over the batch axis")
    name, build = x.name, call.build
    inner = tuple(x.kept.index(axis) for axis in sorted(axes - {x.time}))
    if inner:
        name = build.reduce(op, name, inner, keepdim, call.source)
    if x.time in axes:
        name = _over_time(call, op, x, name)
    dropped = set() if keepdim else axes
    position = {axis: i for i, axis in enumerate(a for a in range(len(x.shape)) if a not in dropped)}
    time = None if x.time is None or x.time in axes else position[x.time]
    batch = None if x.batch is None else position[x.batch]
    if keepdim and x.time in axes:  # a unit axis that is no longer time is an axis of the value
        name = build.reshape(name, tuple(n for i, n in enumerate(call.shape) if i != batch), call.source)
    return Value(name, call.shape, time, batch)


def _over_time(call: Call, op: str, x: Value, name: str) -> str:
    require(x.time is not None and x.shape[x.time] == call.steps, "all time steps", f"shape {x.shape}")
    mean = call.build.time_mean(name, call.source)
    return mean if op == "reduce_mean" else call.build.scale(mean, float(call.steps), call.source)


def _sum(call: Call) -> Value:
    return _reduce(call, "reduce_sum")


def _mean(call: Call) -> Value:
    return _reduce(call, "reduce_mean")


def _average_pool(call: Call) -> Value:
    x = _leading(call, "self")
    spatial = set(range(2, len(x.shape)))
    require(all(call.shape[axis] == 1 for axis in spatial), "an average over the whole map", f"{call.shape}")
    return _reduced(call, "reduce_mean", x, spatial, keepdim=True)


HANDLERS: Mapping[str, Handler] = {
    **called(_alias, "alias", "clone", "contiguous", "detach", "dropout", "feature_dropout"),
    **called(_alias, "lift_fresh", "lift_fresh_copy", "to", "_to_copy", "positive"),
    **called(_reshape, "_reshape_alias", "_unsafe_view", "flatten", "reshape", "squeeze", "unflatten", "unsqueeze"),
    **called(_reshape, "view", "view_as", "reshape_as"),
    **called(_permute, "permute"),
    **called(_transpose, "transpose", "t"),
    **called(_repeat, "repeat", "expand", "expand_as", "tile"),
    **called(_conv, "conv1d", "conv2d"),
    **called(_linear, "linear"),
    **called(_batch_norm, "batch_norm", "_native_batch_norm_legit_no_training"),
    **called(_max_pool, "max_pool1d", "max_pool2d", "max_pool2d_with_indices"),
    **called(_add, "add"),
    **called(_mul, "mul"),
    **called(_div, "div"),
    **called(_matmul, "matmul", "bmm"),
    **called(_sum, "sum"),
    **called(_mean, "mean"),
    **called(_average_pool, "adaptive_avg_pool1d", "adaptive_avg_pool2d"),
    **called(_rsub, "rsub"),
    **called(_sub, "sub"),
    **PARTS,
    "neuron": _neuron,
    "getitem": element,
}  # fmt: skip
_SHARING = (_alias, _reshape, _permute, _transpose, _repeat)  # their results may share memory with what they read
VIEWS = frozenset(name for name, handler in HANDLERS.items() if handler in _SHARING) | PARTS.keys()
