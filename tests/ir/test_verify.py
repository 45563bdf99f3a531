"""Every kind of illegal node becomes a finding, and all of them come at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy.errors import VerifyError
from neurodeploy.ir.graph import Graph, Node, Stage, tensor
from neurodeploy.ir.verify import types, verify
from tests.ir.graphs import conv, encode, lif, quantized, small

PIXELS = encode((2, 4, 4))
WEIGHT = tensor(np.ones((2, 2, 3, 3)), np.int8)
WINDOW = {"stride": (1, 1), "padding": (0, 0)}


def node(op: str, *inputs: str, tensors: dict[str, Any] | None = None, **attributes: Any) -> Node:
    return Node(op, "bad", inputs, attributes, tensors or {})


ILLEGAL = {
    "unknown op": (node("spike_norm", "pixels"), "an op of the table"),
    "op of another stage": (node("batchnorm", "pixels"), "an op of stage quantized"),
    "missing input": (node("add", "pixels"), "inputs"),
    "value that nothing makes": (node("add", "pixels", "ghost"), "made by earlier"),
    "missing attribute": (node("reshape", "pixels"), "attributes"),
    "surplus attribute": (node("add", "pixels", "pixels", scale=1), "attributes"),
    "attribute of another type": (node("reshape", "pixels", shape=32), "shape of type ints"),
    "missing tensor": (node("conv", "pixels", **WINDOW, groups=1), "tensors"),
    "surplus tensor": (node("add", "pixels", "pixels", tensors={"weight": WEIGHT}), "tensors"),
    "float weights": (
        node("conv", "pixels", tensors={"weight": WEIGHT.astype(float)}, **WINDOW, groups=1), "integer weights",
    ),
    "wrong channels": (
        node("conv", "pixels", tensors={"weight": WEIGHT[:, :1]}, **WINDOW, groups=1), "1 input channels",
    ),
    "wrong rank": (node("conv", "pixels", tensors={"weight": WEIGHT[0]}, **WINDOW, groups=1), "rank 4"),
    "groups that do not divide": (node("conv", "pixels", tensors={"weight": WEIGHT}, **WINDOW, groups=3), "groups"),
    "no weights": (node("conv", "pixels", tensors={"weight": WEIGHT[:0]}, **WINDOW, groups=1), "one weight"),
    "window of another rank": (
        node("conv", "pixels", tensors={"weight": WEIGHT}, stride=(1,), padding=(0, 0), groups=1), "rank 2 windows",
    ),
    "stride 0": (
        node("conv", "pixels", tensors={"weight": WEIGHT}, stride=(0, 1), padding=(0, 0), groups=1), "stride > 0",
    ),
    "window beyond the image": (node("max_pool", "pixels", kernel=(5, 5), **WINDOW), "inside the image"),
    "padding of more than half a window": (
        node("max_pool", "pixels", kernel=(3, 3), stride=(1, 1), padding=(2, 0)), "kernel / 2",
    ),
    "pool without axes": (node("max_pool", "pixels", kernel=(), stride=(), padding=()), "rank"),
    "codes beyond 8 bits": (node("encode", shape=(2,), step=1.0, lo=-128, hi=200), "8-bit codes"),
    "step 0": (node("encode", shape=(2,), step=0.0, lo=0, hi=1), "a positive step"),
    "empty image": (node("encode", shape=(0, 4), step=1.0, lo=0, hi=1), "positive sizes"),
    "decay above 12 bits": (lif("bad", "pixels", [[[0]]], dv=4096), "dv in 0..4095"),
    "current without decay": (lif("bad", "pixels", [[[0]]], du=0), "du in 1..4096"),
    "decay of a current above one": (lif("bad", "pixels", [[[0]]], du=4097), "du in 1..4096"),
    "delay below 0": (node("delay", "pixels", tensors={"delay": tensor([[[-1]]], np.int16)}), "delays of at least 0"),
    "delays of another rank": (node("delay", "pixels", tensors={"delay": tensor([1], np.int16)}), "rank 3"),
    "delays that do not fit": (node("delay", "pixels", tensors={"delay": tensor([[[1] * 9]], np.int16)}), "broadcast"),
    "delays that are no integers": (
        node("delay", "pixels", tensors={"delay": tensor([[[0.5]]], np.float32)}), "integer delays",
    ),
    "negative threshold": (lif("bad", "pixels", [[[0]]], vth=-1), "vth >= 0"),
    "exponent without bound": (lif("bad", "pixels", [[[0]]], weight_exp=99), "weight_exp in 0..31"),
    "bias of another shape": (lif("bad", "pixels", [[[0]], [[0]], [[0]]]), "broadcasts"),
    "bias of another rank": (lif("bad", "pixels", [0]), "rank 3"),
    "sum of two shapes": (node("add", "pixels", "spikes"), "two values of shape"),
    "mask that is no spike": (node("gate", "pixels", "spikes"), "two binary inputs"),
    "matrices that do not match": (node("spike_matmul", "pixels", "spikes"), "matching axes"),
    "axis beyond the rank": (node("reduce_sum", "pixels", axes=(3,), keepdims=0), "axes below 3"),
    "axis twice": (node("reduce_sum", "pixels", axes=(1, 1), keepdims=0), "different axes"),
    "other number of elements": (node("reshape", "pixels", shape=(31,)), "32 elements"),
    "no permutation": (node("permute", "pixels", axes=(0, 1, 1)), "a permutation"),
    "readout of an image": (node("readout", "pixels", tensors={"bias": tensor([0], np.int64)}), "one value a class"),
}  # fmt: skip


@pytest.mark.parametrize("case", ILLEGAL)
def test_illegal_node_is_a_finding(case: str) -> None:
    bad, need = ILLEGAL[case]
    spikes = lif("spikes", "half", [[[0]]])
    half = conv("half", "pixels", np.ones((2, 2, 1, 1)), stride=2)
    with pytest.raises(VerifyError) as caught:
        verify(quantized(PIXELS, half, spikes, bad))
    finding = caught.value.findings[0]
    assert (finding.code, finding.layer) == ("ND-G001", "bad")
    assert need in finding.need


def test_all_findings_come_at_once() -> None:
    first, second = node("mystery"), replace(node("reshape", "pixels", shape=(5,)), name="worse")
    with pytest.raises(VerifyError) as caught:
        verify(quantized(PIXELS, first, second))
    assert [finding.layer for finding in caught.value.findings] == ["bad", "worse"]


def test_two_nodes_of_one_name() -> None:
    with pytest.raises(VerifyError, match="pixels twice"):
        verify(quantized(PIXELS, PIXELS))


def test_input_that_comes_later() -> None:
    graph = small()
    with pytest.raises(VerifyError, match="made by earlier"):
        verify(replace(graph, nodes=tuple(reversed(graph.nodes))))


def test_missing_output() -> None:
    with pytest.raises(VerifyError, match="ND-G002"):
        verify(replace(small(), output="ghost"))


def test_quantized_op_in_a_traced_graph() -> None:
    with pytest.raises(VerifyError, match="an op of stage traced"):
        verify(Graph("net", Stage.TRACED, 2, (PIXELS,), "pixels"))


def test_legal_graph_has_a_type_for_every_value() -> None:
    graph = small()
    assert list(types(graph)) == [n.name for n in graph.nodes]


@pytest.mark.parametrize(("values", "dtype"), [([40_000], np.int16), ([0.5], np.int8), ([np.nan], np.int64)])
def test_a_tensor_refuses_numbers_that_its_dtype_does_not_hold(values: list[float], dtype: type) -> None:
    with pytest.raises(VerifyError, match="ND-G005"):
        tensor(values, dtype)
    assert tensor([-128.0, 127.0], np.int8).tolist() == [-128, 127]
