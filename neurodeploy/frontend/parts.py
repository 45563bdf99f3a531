"""ATen ops that take parts of a tensor: chunk, split, narrow, slice, select, unbind. Never of time or batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import accumulate, pairwise

from neurodeploy.frontend.axes import Value
from neurodeploy.frontend.call import Call, Handler, Values, called
from neurodeploy.ir.infer import IllegalNode, require

_APART = "take entries that are neighbours, x[..., a:b]; the layer before can give its channels in that order"


def _axis(call: Call, x: Value) -> int:
    return int(call.arguments.get("dim", 0)) % max(len(x.shape), 1)


def _require_own(x: Value, axis: int, what: str) -> None:
    """Raise IllegalNode for a part of what all have to stay together: the time steps, or the samples."""
    kind = {x.time: "time steps", x.batch: "samples"}.get(axis, "")
    require(not kind, "all time steps and samples", f"{what} of {x.shape[axis]} {kind}")


def _part(call: Call, x: Value, axis: int, start: int, stop: int) -> Value:
    """x[start:stop] along an axis of one step; the whole of any axis is x itself."""
    if (start, stop) == (0, x.shape[axis]):
        return x
    _require_own(x, axis, f"{start} to {stop}")
    name = call.build.slice(x.name, x.kept.index(axis), start, stop, call.source)
    return replace(x, name=name, shape=(*x.shape[:axis], stop - start, *x.shape[axis + 1 :]))


def _parts(call: Call, sizes: Iterable[int]) -> tuple[Value, ...]:
    x = call.value("self")
    axis, stops = _axis(call, x), accumulate(sizes, initial=0)
    return tuple(_part(call, x, axis, start, stop) for start, stop in pairwise(stops))


def _equal_sizes(whole: int, size: int) -> Iterator[int]:
    """Sizes that fill `whole`: all `size` but the last."""
    return (min(size, whole - start) for start in range(0, whole, size))


def _chunk(call: Call) -> Values:
    whole = call.value("self").shape[_axis(call, call.value("self"))]
    return _parts(call, _equal_sizes(whole, -(-whole // int(call.arguments["chunks"]))))


def _split(call: Call) -> Values:
    x = call.value("self")
    sizes = call.flag("split_sizes") or call.flag("split_size")
    if isinstance(sizes, (list, tuple)):
        return _parts(call, map(int, sizes))
    return _parts(call, _equal_sizes(x.shape[_axis(call, x)], int(sizes)))


def _narrow(call: Call) -> Value:
    x = call.value("self")
    axis = _axis(call, x)
    start = int(call.arguments["start"]) % x.shape[axis]
    return _part(call, x, axis, start, start + int(call.arguments["length"]))


def _slice(call: Call) -> Value:
    x = call.value("self")
    axis = _axis(call, x)
    start, stop, step = slice(call.flag("start"), call.flag("end"), call.flag("step")).indices(x.shape[axis])
    mend = _APART if axis in x.kept else ""
    need, have = "a slice of at least one entry, step 1", f"{start} to {stop}, step {step}"
    require(step == 1 and start < stop, need, have, mend)
    return _part(call, x, axis, start, stop)


def _select(call: Call) -> Value:
    x = call.value("self")
    return _entry(call, x, _axis(call, x), int(call.arguments["index"]))


def _entry(call: Call, x: Value, axis: int, index: int) -> Value:
    """One entry of an axis, which is no axis any more."""
    _require_own(x, axis, "one")
    start = index % x.shape[axis]
    part = _part(call, x, axis, start, start + 1)
    left = [i for i in range(len(x.shape)) if i != axis]
    time, batch = (None if label is None else left.index(label) for label in (x.time, x.batch))
    value = Value(part.name, tuple(part.shape[i] for i in left), time, batch)
    return replace(value, name=call.build.reshape(part.name, value.step_shape, call.source))


def _unbind(call: Call) -> Values:
    x = call.value("self")
    axis = _axis(call, x)
    return tuple(_entry(call, x, axis, index) for index in range(x.shape[axis]))


def element(call: Call) -> Value:
    """One result of an op that has several; of an op that is lowered to its first result, that one."""
    results, index = call.arguments["self"], call.arguments["index"]
    if isinstance(results, tuple):
        return results[index]  # type: ignore[no-any-return]
    if index != 0:
        raise IllegalNode("the first result of an op", f"result {index}")
    return call.value("self")


PARTS: Mapping[str, Handler] = {
    **called(_chunk, "chunk", "unsafe_chunk"),
    **called(_split, "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes"),
    **called(_narrow, "narrow"),
    **called(_slice, "slice"),
    **called(_select, "select"),
    **called(_unbind, "unbind"),
}
