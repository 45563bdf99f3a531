"""1 - x of spikes becomes an inhibition where a product reads it, and is refused anywhere else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from neurodeploy.backends import reference
from neurodeploy.errors import UnsupportedModelError
from neurodeploy.ir.graph import Graph
from neurodeploy.quantize import quantize
from tests.traced_graphs import Sketch, pictures


def network(body: Callable[[Sketch, str, str], str]) -> Graph:
    """Two layers of spikes [4, 8, 8] on an image; `body` makes what a third layer reads."""
    s = Sketch(3)
    s.op("input", "images", shape=(1, 8, 8))
    x = s.lif("first", s.conv("first", "images", (4, 1, 3, 3), padding=1))
    y = s.lif("second", s.conv("second", x, (4, 4, 3, 3), padding=1))
    z = s.lif("third", s.conv("third", body(s, x, y), (4, 4, 3, 3), padding=1))
    z = s.op("reduce_mean", "gap", z, axes=(1, 2), keepdims=0)
    head = {"weight": s.rng.normal(0, 0.5, (3, 4)), "bias": s.rng.normal(0, 0.5, 3)}
    return s.finish("iand", 4, s.op("conv", "head", z, tensors=head, stride=(), padding=(), groups=1))


def inverted(s: Sketch, y: str) -> str:
    """1 - y, seen through views that undo one another."""
    flat = s.op("reshape", "flat", s.op("complement", "not", y), shape=(4, 64))
    return s.op("reshape", "map", flat, shape=(4, 8, 8))


@pytest.mark.parametrize("swap", [False, True])
def test_a_product_with_the_complement_inhibits(swap: bool) -> None:
    def body(s: Sketch, x: str, y: str) -> str:
        return s.op("mul", "iand", *((inverted(s, y), x) if swap else (x, inverted(s, y))))

    graph = quantize(network(body), pictures(8))
    (inhibit,) = graph.of("inhibit")
    assert inhibit.inputs[1] == "first_lif"
    assert not graph.of("gate")
    made: list[np.ndarray] = []
    run = reference.run(
        graph, pictures(4), "all", watch=lambda name, y: made.append(y) if name == inhibit.name else None
    )
    first, second = (run.spikes[name] for name in ("first_lif", "second_lif"))
    wanted = first & (1 - second)
    assert 0 < wanted.mean() < first.mean()
    np.testing.assert_array_equal(np.stack(made, axis=1), wanted)


WRONG: dict[str, Callable[[Sketch, str, str], str]] = {
    "added": lambda s, x, y: s.op("add", "sum", x, inverted(s, y)),
    "alone": lambda s, x, y: inverted(s, y),
    "pooled": lambda s, x, y: s.op(
        "mul", "iand", x, s.op("max_pool", "pool", inverted(s, y), kernel=(1, 1), stride=(1, 1), padding=(0, 0))
    ),
    "of counts": lambda s, x, y: s.op("mul", "iand", x, s.op("complement", "not", s.op("add", "sum", x, y))),
    "of scaled spikes": lambda s, x, y: s.op("mul", "iand", x, inverted(s, s.op("scale", "half", y, factor=0.5))),
    "twice": lambda s, x, y: s.op("mul", "iand", s.op("complement", "nor", x), inverted(s, y)),
    "of a current": lambda s, x, y: s.op("mul", "iand", x, inverted(s, s.conv("more", y, (4, 4, 1, 1)))),
}


@pytest.mark.parametrize("case", WRONG)
def test_any_other_use_is_refused(case: str) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        quantize(network(WRONG[case]), pictures(8))
    (finding,) = caught.value.findings
    assert finding.code == {"of counts": "ND-Q010", "of a current": "ND-Q011"}.get(case, "ND-Q025")
    assert finding.source.startswith("sketch.py:")
    assert all((finding.need, finding.have, finding.next))
