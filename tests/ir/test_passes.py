"""Passes keep what a graph computes, and the driver names the one that does not keep the rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.reference import run
from neurodeploy.errors import VerifyError
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.passes import redirect, remove_dead, run_passes, simplify_views
from neurodeploy.ir.samples import random_graph, random_images
from neurodeploy.ir.verify import verify
from tests.ir.graphs import encode, lif, quantized, small

BIAS = [[[0]]]


def reshape(name: str, value: str, *shape: int) -> Node:
    return Node("reshape", name, (value,), {"shape": shape})


def permute(name: str, value: str, *axes: int) -> Node:
    return Node("permute", name, (value,), {"axes": axes})


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def test_reshapes_in_a_row_become_one() -> None:
    graph = quantized(encode((2, 3, 4)), reshape("a", "pixels", 6, 4), reshape("b", "a", 4, 6), reshape("c", "b", 24))
    simple = simplify_views(graph)
    assert ops(simple) == ["encode", "reshape"]
    assert simple.by_name["c"].inputs == ("pixels",)


def test_permutes_in_a_row_become_one() -> None:
    graph = quantized(encode((2, 3, 4)), permute("a", "pixels", 1, 2, 0), permute("b", "a", 1, 0, 2))
    simple = simplify_views(graph)
    assert ops(simple) == ["encode", "permute"]
    assert simple.by_name["b"].integers("axes") == (2, 1, 0)


def test_permutes_that_undo_each_other_go_away() -> None:
    undone = permute("b", "a", 2, 0, 1)
    graph = quantized(encode((2, 3, 4)), permute("a", "pixels", 1, 2, 0), undone, lif("lif", "b", BIAS))
    assert [(n.op, n.inputs) for n in simplify_views(graph).nodes] == [("encode", ()), ("lif", ("pixels",))]


def test_view_that_changes_nothing_goes_away_as_output_too() -> None:
    graph = quantized(encode((2, 3, 4)), reshape("same", "pixels", 2, 3, 4))
    assert simplify_views(graph).output == "pixels"


def test_permute_of_ones_is_a_reshape() -> None:
    graph = quantized(encode((1, 3, 4)), permute("a", "pixels", 1, 0, 2), reshape("b", "a", 12))
    assert ops(simplify_views(graph)) == ["encode", "reshape"]


def test_reshape_after_a_real_permute_stays() -> None:
    graph = quantized(encode((2, 3, 4)), permute("a", "pixels", 1, 0, 2), reshape("b", "a", 24))
    assert ops(simplify_views(graph)) == ["encode", "permute", "reshape"]


@pytest.mark.parametrize("seed", range(40))
def test_simplified_graph_computes_the_same(seed: int) -> None:
    graph = random_graph(seed)
    simple = run_passes(graph, [simplify_views])
    images = random_images(graph, 2, seed)
    assert np.array_equal(run(graph, images).logits, run(simple, images).logits)


def test_dead_nodes_go_away() -> None:
    graph = small()
    dead = replace(graph, nodes=(*graph.nodes, lif("unused", "block.conv", BIAS)))
    assert [n.name for n in remove_dead(dead).nodes] == [n.name for n in graph.nodes]


def test_redirect_follows_chains() -> None:
    graph = quantized(encode((2, 3, 4)), lif("a", "pixels", BIAS), lif("b", "a", BIAS), lif("c", "b", BIAS))
    short = verify(redirect(graph, {"b": "a", "a": "pixels"}))
    assert short.by_name["c"].inputs == ("pixels",)


def test_driver_names_the_pass_that_broke_the_graph() -> None:
    def forget_output(graph: Graph) -> Graph:
        return replace(graph, output="ghost")

    with pytest.raises(VerifyError, match="a legal graph after pass forget_output") as caught:
        run_passes(small(), [remove_dead, forget_output])
    assert [finding.code for finding in caught.value.findings] == ["ND-G003", "ND-G002"]


def test_driver_verifies_before_the_first_pass() -> None:
    with pytest.raises(VerifyError, match="ND-G002"):
        run_passes(replace(small(), output="ghost"), [])
