"""The reference against scalar Python integers, loop by loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from neurodeploy.backends.reference import ops
from neurodeploy.backends.reference.ops import conv, encode, max_pool, reduce_sum, spike_matmul
from neurodeploy.ir.graph import Node, tensor
from neurodeploy.numerics import LOIHI_LAVA, cuba_step, lif_step


def scalar_lif(a: int, v: int, bias: int, vth: int, dv: int) -> tuple[int, int]:
    """One neuron in Python ints, from the profile's equations."""
    size = abs(v) * (4096 - dv) // 4096
    v = (size if v >= 0 else -size) + a * 64 + bias
    v = max(-(2**23 - 1), min(2**23 - 1, v))
    return (1, 0) if v > vth * 64 else (0, v)


def test_lif_step_equals_scalar_integers() -> None:
    rng = np.random.default_rng(0)
    extremes = [0, 1, -1, 2**17 - 1, -(2**17) + 1]
    a = np.concatenate([rng.integers(-(2**17) + 1, 2**17, 3000), extremes]).astype(np.int64)
    v = np.concatenate([rng.integers(-(2**23) + 1, 2**23, 3000), [2**23 - 1, -(2**23) + 1, -1, 1, 63]])
    bias = rng.integers(-(2**19), 2**19, len(a))
    for vth, dv in itertools.product((0, 1, 1000, 2**17 - 1), (0, 1, 2048, 4095)):
        spikes, after = lif_step(a, v.astype(np.int64), bias, vth, dv)
        wanted = [scalar_lif(int(x), int(y), int(b), vth, dv) for x, y, b in zip(a, v, bias, strict=True)]
        assert list(zip(spikes.tolist(), after.tolist(), strict=True)) == wanted


def test_cuba_step_equals_scalar_integers() -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(-(2**15), 2**15, 2000)
    u, v = (rng.integers(-(2**22), 2**22, 2000) for _ in range(2))
    bias = rng.integers(-(2**19), 2**19, len(a))
    for du, (vth, dv) in itertools.product((1, 1024, 2049, 4095, 4096), ((0, 2048), (1000, 0), (2**15, 4095))):
        spikes, (current, after) = cuba_step(a, (u, v), bias, vth, (du, dv))
        for i in range(len(a)):
            size = abs(int(u[i])) * (4096 - du) // 4096
            flows = (size if u[i] >= 0 else -size) + int(a[i]) * 64
            one = scalar_lif(0, int(v[i]), int(bias[i]) + flows, vth, dv)
            assert (int(spikes[i]), int(after[i]), int(current[i])) == (*one, flows)
    assert current.any() and (lif_step(a, v, bias, vth, dv)[1] == after).all()


def test_decay_truncates_towards_zero_and_the_threshold_is_strict() -> None:
    zero = np.zeros(2, np.int64)
    _, after = lif_step(zero, np.array([-3, 3]), zero, 10, 2048, LOIHI_LAVA)
    assert after.tolist() == [-1, 1]
    spikes, _ = lif_step(np.array([5, 5]), zero, np.array([0, 1]), 5, 2048, LOIHI_LAVA)
    assert spikes.tolist() == [0, 1]


def naive_windows(
    node: Node, shape: tuple[int, ...], kernel: tuple[int, ...]
) -> list[tuple[tuple[int, ...], list[tuple[tuple[int, ...], tuple[int, ...]]]]]:
    """For each output position: (tap, input position) of every tap inside the image."""
    stride, padding = node.integers("stride"), node.integers("padding")
    sizes = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape, kernel, stride, padding, strict=True)]
    found = []
    for out in itertools.product(*map(range, sizes)):
        taps = []
        for tap in itertools.product(*map(range, kernel)):
            at = tuple(o * s + t - p for o, s, t, p in zip(out, stride, tap, padding, strict=True))
            if all(0 <= x < n for x, n in zip(at, shape, strict=True)):
                taps.append((tap, at))
        found.append((out, taps))
    return found


CONVS = [
    ((4,), (3, 4), (), (), 1),
    ((4, 6), (6, 2, 3), (2,), (1,), 2),
    ((3, 5, 4), (2, 3, 3, 2), (2, 1), (1, 0), 1),
    ((4, 3, 3), (4, 1, 3, 3), (1, 1), (2, 2), 4),
]


@pytest.mark.parametrize(("image", "weight", "stride", "padding", "groups"), CONVS)
def test_conv(
    image: tuple[int, ...], weight: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], groups: int
) -> None:
    rng = np.random.default_rng(1)
    x, w = rng.integers(-128, 128, (2, *image)), rng.integers(-127, 128, weight)
    attributes = {"stride": stride, "padding": padding, "groups": groups}
    node = Node("conv", "c", ("x",), attributes, {"weight": tensor(w, np.int8)})
    out = conv(node, x)
    per_group, fan_in = weight[0] // groups, weight[1]
    for n, o in itertools.product(range(2), range(weight[0])):
        first = o // per_group * fan_in
        for position, taps in naive_windows(node, image[1:], weight[2:]):
            terms = (int(w[(o, i, *tap)]) * int(x[(n, first + i, *at)]) for tap, at in taps for i in range(fan_in))
            assert int(out[(n, o, *position)]) == sum(terms)


def test_a_convolution_row_by_row_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    x, w = rng.integers(-128, 128, (2, 4, 9, 7)), rng.integers(-127, 128, (6, 2, 3, 3))
    attributes = {"stride": (2, 1), "padding": (1, 1), "groups": 2}
    node = Node("conv", "c", ("x",), attributes, {"weight": tensor(w, np.int8)})
    whole = conv(node, x)
    for taps in (1, 2 * 7 * 36 * 2):
        monkeypatch.setattr(ops, "TAPS", taps)
        assert np.array_equal(conv(node, x), whole)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2)])
def test_max_pool_ignores_its_padding(stride: tuple[int, int]) -> None:
    x = np.random.default_rng(2).integers(-90, -1, (2, 3, 5, 6))
    node = Node("max_pool", "p", ("x",), {"kernel": (3, 3), "stride": stride, "padding": (1, 1)})
    out = max_pool(node, x)
    for n, c in itertools.product(range(2), range(3)):
        for position, taps in naive_windows(node, (5, 6), (3, 3)):
            assert out[(n, c, *position)] == max(x[(n, c, *at)] for _, at in taps)


def test_encode_rounds_to_even_and_clips() -> None:
    node = Node("encode", "x", (), {"shape": (6,), "step": 0.5, "lo": -4, "hi": 5})
    codes = encode(node, np.array([[0.25, 0.75, 1.25, -0.25, 99.0, -99.0]], np.float32))
    assert codes.tolist() == [[0, 2, 2, 0, 5, -4]]


def test_products_and_sums() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 200, (2, 3, 4, 5)), rng.integers(0, 200, (2, 3, 5, 2))
    wanted = [
        [
            [[sum(int(a[n, h, i, k]) * int(b[n, h, k, j]) for k in range(5)) for j in range(2)] for i in range(4)]
            for h in range(3)
        ]
        for n in range(2)
    ]
    assert spike_matmul(Node("spike_matmul", "m"), a, b).tolist() == wanted
    total = reduce_sum(Node("reduce_sum", "r", attributes={"axes": (0, 2), "keepdims": 0}), a)
    assert total.tolist() == [[sum(int(v) for v in a[n, :, i].ravel()) for i in range(4)] for n in range(2)]
