"""Export and import: the same integers; and everything that netx has not is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")

from dataclasses import replace

from neurodeploy.api import CompiledModel
from neurodeploy.backends.reference import backend
from neurodeploy.errors import DoesNotFitError, InvalidFileError, NeurodeployError, UnsupportedModelError, UsageError
from neurodeploy.ir.graph import Graph, Node, tensor
from neurodeploy.ir.proof import prove, require_proof
from neurodeploy.lava_dl import export_netx, load_netx
from neurodeploy.netx.build import to_graph
from neurodeploy.netx.chain import rounded, to_layers
from neurodeploy.netx.own import Own
from neurodeploy.netx.reading import Reading
from neurodeploy.numerics import INT32
from neurodeploy.quantize import quantize
from tests.netx.chains import frames_of, random_chain
from tests.netx.files import FILE, NET, dense, graph, neuron
from tests.traced_graphs import FAMILIES, pictures


def proven(seed: int) -> Graph:
    """The first chain from this seed on whose proof holds and whose spikes netx would compute alike."""
    for number in range(seed * 100, seed * 100 + 100):
        made = random_chain(number)
        try:
            to_layers(made)
        except UnsupportedModelError:
            continue
        if all(bound.holds for bound in prove(made)):
            return made
    raise AssertionError("no chain in a hundred")


def again(made: Graph) -> Graph:
    """Out and in, without the file in between."""
    chain = to_layers(made)
    own = Own.of(made, chain.names)
    return own.restored(to_graph(chain.layers, Reading(own.steps, code=own.code), FILE, own.names), FILE)


def same(a: Node, b: Node) -> bool:
    """Whether two nodes are one."""
    plain = [(n.op, n.name, n.inputs, {**n.attributes}, n.tensors.keys()) for n in (a, b)]
    return plain[0] == plain[1] and all(np.array_equal(a.tensors[key], b.tensors[key]) for key in a.tensors)


@pytest.mark.parametrize("seed", range(40))
def test_out_and_in_is_the_same_network(seed: int) -> None:
    made = proven(seed)
    back = again(made)
    assert (back.name, back.steps, back.output_scale) == (made.name, made.steps, made.output_scale)
    frames = frames_of(made, 5)
    one, two = (backend.run(g, frames, probes="all") for g in (made, back))
    assert (one.logits == two.logits).all() and one.spikes.keys() == two.spikes.keys()
    for name in one.spikes:
        assert (one.spikes[name] == two.spikes[name]).all() and (one.membrane[name] == two.membrane[name]).all()


def test_random_chains_say_something() -> None:
    made = [proven(seed) for seed in range(40)]
    ops = {node.op for graph in made for node in graph.nodes} | {
        "du" for g in made for n in g.of("lif") if "du" in n.attributes
    }
    assert ops >= {"encode", "encode_events", "conv", "lif", "delay", "reshape", "readout", "du"}
    rates = [s.mean() for g in made for s in backend.run(g, frames_of(g, 4), probes="all").spikes.values()]
    assert 0.02 < np.mean(rates) < 0.6


@pytest.mark.parametrize("seed", range(4))
def test_through_a_file(seed: int, tmp_path: Path) -> None:
    made, path = proven(seed), tmp_path / "x.net"
    facts = export_netx(CompiledModel(made), path)
    back = load_netx(path).graph
    assert facts.network.startswith("netx.hdf5.Network(") and len(facts.host) == 2
    assert (back.name, back.steps, back.output_scale) == (made.name, made.steps, made.output_scale)
    both = zip(again(made).nodes, back.nodes, strict=True)
    assert all(same(one, two) for one, two in both)
    assert len(path.read_bytes()) < 200_000 and [p.name for p in tmp_path.iterdir()] == ["x.net"]


def test_a_file_of_slayer_is_written_back_as_it_was() -> None:
    made = graph(*NET)
    assert all(same(one, two) for one, two in zip(made.nodes, again(made).nodes, strict=True))


def test_input_neurons_come_and_go_with_one_bias() -> None:
    first = {"type": "input", "shape": [2, 4, 4], "weight": [64.0], "bias": [5.0], "neuron": neuron()}
    made = graph(first, *NET, events=False, input_range=(-1, 1))
    assert all(same(one, two) for one, two in zip(made.nodes, again(made).nodes, strict=True))
    bias = {"bias_mant": tensor(np.array([5, 6]).reshape(2, 1, 1), np.int16)}
    nodes = [replace(n, tensors=bias) if n.name == "layer.0.neuron" else n for n in made.nodes]
    with pytest.raises(UnsupportedModelError, match="integer weight and bias"):
        to_layers(made.with_nodes(nodes))


def test_layers_keep_names_that_an_import_would_give_itself() -> None:
    given = {"layer.0.synapse": "input", "layer.0.neuron": "readout", "layer.2.synapse": "flatten.3"}
    given |= {"layer.2.neuron": "flatten.3.delay", "input": "a", "flatten.3": "b", "readout": "c"}
    late = dense(delay=[0.0, 1, 2, 3])
    made = graph(*NET[:2], late)
    nodes = [
        replace(n, name=given.get(n.name, n.name), inputs=tuple(given.get(i, i) for i in n.inputs)) for n in made.nodes
    ]
    back = again(replace(made, nodes=tuple(nodes), output="c"))
    assert [node.name for node in back.nodes if node.op in ("conv", "lif")] == [
        "input",
        "readout",
        "flatten.3",
        "flatten.3.delay",
    ]
    frames = frames_of(made, 5)
    assert (backend.run(back, frames).logits == backend.run(made, frames).logits).all()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("bias", np.zeros(3, int), "4 values"),
        ("bias", np.zeros((), int), "4 values"),
        ("bias", np.full(4, 0.5), "a bias of integers"),
        ("events", 2, "`events` of 0 or 1"),
        ("step", 1e-320, "a number `step`"),
        ("output_scale", 1e300, "a number `output_scale`"),
        ("synapse/1", "layer.2.synapse", "4 names, 3 different"),
        ("neuron/1", "layer.0.synapse", "4 names, 3 different"),
        ("steps", 5000, "time steps"),
    ],
)
def test_what_neurodeploy_wrote_may_be_damaged(path: str, value: object, said: str, tmp_path: Path) -> None:
    import h5py

    file = tmp_path / "x.net"
    export_netx(CompiledModel(graph(*NET)), file)
    with h5py.File(file, "a") as handle:
        del handle[f"neurodeploy/{path}"]
        handle[f"neurodeploy/{path}"] = value
    with pytest.raises(InvalidFileError, match=said) as caught:
        load_netx(file)
    assert [(f.code, f.layer, f.source) for f in caught.value.findings] == [("ND-L003", "/neurodeploy", str(file))]


def test_a_last_population_that_an_import_would_read_the_membranes_of_is_refused() -> None:
    made = graph(*NET)
    own = {**made.by_name["layer.2.neuron"].attributes, "vth": 131071, "dv": 0}
    nodes = [replace(n, attributes=own) if n.name == "layer.2.neuron" else n for n in made.nodes]
    with pytest.raises(UnsupportedModelError, match="tells its neurons from a read-out"):
        to_layers(made.with_nodes(nodes))


def test_a_large_bias_of_the_logits_comes_back(tmp_path: Path) -> None:
    made = graph(*NET)
    end = made.by_name[made.output]
    large = replace(end, tensors={"bias": tensor(np.full(4, 1 << 30), np.int64)})
    made = made.with_nodes(large if node is end else node for node in made.nodes)
    export_netx(CompiledModel(made), tmp_path / "x.net")
    assert load_netx(tmp_path / "x.net").graph.by_name[made.output].tensors["bias"].tolist() == [1 << 30] * 4


def test_other_time_steps_than_the_file_s_scale_the_logits(tmp_path: Path) -> None:
    made = graph(*NET, steps=4)
    end = made.by_name[made.output]
    made = made.with_nodes(
        replace(end, tensors={"bias": tensor(np.full(4, 6), np.int64)}) if node is end else node for node in made.nodes
    )
    export_netx(CompiledModel(made), tmp_path / "x.net")
    back = load_netx(tmp_path / "x.net", steps=8).graph
    assert (back.output_scale, back.by_name[made.output].tensors["bias"].tolist()) == (made.output_scale / 2, [12] * 4)


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "x" * 600])
def test_a_name_that_would_not_come_back_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="ND-L014"):
        export_netx(CompiledModel(replace(graph(*NET), name=name)), tmp_path / "x.net")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "choices",
    [
        *({"steps": wrong} for wrong in ("4", 2.5, True, 0)),
        *({"input_shape": wrong} for wrong in (16, ("16",), (1, 4), (0,))),
        *({"input_range": wrong} for wrong in (5, (0,), (0, 1, 2), ("0", "1"), (1, 2))),
        *({"input_message_bits": wrong} for wrong in ("8", 2.5, 9)),
        *({"code": 3}, {"events": "yes"}, {"semantics": []}, {"foo": 1}),
    ],
)
def test_wrong_choices_are_named(choices: dict[str, object], tmp_path: Path) -> None:
    export_netx(CompiledModel(graph(*NET)), tmp_path / "x.net")
    with pytest.raises(UsageError) as caught:
        load_netx(tmp_path / "x.net", **choices)  # type: ignore[arg-type]
    assert [(f.code, f.layer) for f in caught.value.findings] == [("ND-L006", next(iter(choices)))]


def test_choices_take_arrays_and_numbers_of_numpy(tmp_path: Path) -> None:
    export_netx(CompiledModel(graph(*NET)), tmp_path / "x.net")
    back = load_netx(tmp_path / "x.net", steps=np.int64(4), input_shape=np.array([2, 4, 4]))  # type: ignore[arg-type]
    assert (back.graph.steps, back.graph.image_shape) == (4, (4, 2, 4, 4))


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        export_netx(CompiledModel(graph(*NET)), tmp_path / "none" / "x.net")


def test_steps_may_be_others_than_the_file_says(tmp_path: Path) -> None:
    export_netx(CompiledModel(graph(*NET)), tmp_path / "x.net")
    assert load_netx(tmp_path / "x.net", 7).graph.steps == 7
    assert load_netx(tmp_path / "x.net", input_message_bits=4).graph.by_name["input"].integer("hi") == 15


def test_sums_that_only_a_cpu_holds_are_refused(tmp_path: Path) -> None:
    wide = dense(weight=np.full((4, 48), 127.0))
    made = graph(wide, input_shape=None, input_message_bits=8)
    for vth in (80, 900_000):
        nodes = [replace(n, attributes={**n.attributes, "vth": vth}) if n.op == "lif" else n for n in made.nodes]
        wider = replace(made, nodes=tuple(nodes), profile=INT32.name)
        require_proof(wider)
        with pytest.raises(DoesNotFitError, match="1554480") as caught:
            export_netx(CompiledModel(wider), tmp_path / "x.net")
        assert {finding.layer for finding in caught.value.findings} == {"layer.0.neuron"}
    assert not [*tmp_path.iterdir()]


def with_biases(made: Graph, units: int, *layers: str, exponent: int = 0) -> Graph:
    """A graph with the same bias in these layers."""

    def biased(node: Node) -> Node:
        bias = tensor(np.full_like(node.tensors["bias_mant"], units), np.int16)
        return replace(node, attributes={**node.attributes, "bias_exp": exponent}, tensors={"bias_mant": bias})

    return made.with_nodes([biased(node) if node.name in layers else node for node in made.nodes])


def with_bias(units: int) -> Graph:
    made = graph(*NET)
    bias = {"bias_mant": tensor(np.full((3, 1, 1), units), np.int16)}
    nodes = [replace(n, tensors=bias) if n.name == "layer.0.neuron" else n for n in made.nodes]
    return made.with_nodes(nodes)


@pytest.mark.parametrize(("layer", "option"), [("layer.0.neuron", "--first-bits"), ("layer.2.neuron", "--weight-bits")])
def test_biases_that_netx_does_not_hold_name_the_option_that_helps(layer: str, option: str) -> None:
    with pytest.raises(UnsupportedModelError, match=r"-4096\.\.4095 weight units") as caught:
        to_layers(with_biases(graph(*NET), 5000, layer, exponent=6))
    assert [(f.layer, option in f.next) for f in caught.value.findings] == [(layer, True)]


def test_what_to_do_is_said_once() -> None:
    made = graph(*NET, dense(weight=np.eye(4)), dense(weight=np.eye(4)))
    names = [node.name for node in made.of("lif")][1:]
    with pytest.raises(UnsupportedModelError) as caught:
        to_layers(with_biases(made, 100, *names))
    first, *others = caught.value.findings
    assert "--round-bias" in first.next and len(others) == 2
    assert {f.next for f in others} == {f"as of {names[0]}, above"}


def test_biases_between_weight_units_are_refused_or_rounded(tmp_path: Path) -> None:
    made = CompiledModel(with_bias(100))
    with pytest.raises(UnsupportedModelError, match="--round-bias") as caught:
        export_netx(made, tmp_path / "x.net")
    assert [finding.layer for finding in caught.value.findings] == ["layer.0.neuron"]
    assert not (tmp_path / "x.net").exists()
    facts = export_netx(made, tmp_path / "x.net", round_bias=True)
    assert (facts.changed, facts.worst) == (3, 28)
    lif = load_netx(tmp_path / "x.net").graph.by_name["layer.0.neuron"]
    assert lif.tensors["bias_mant"].reshape(-1).tolist() == [2, 2, 2] and lif.integer("bias_exp") == 6
    assert rounded(with_bias(128))[1:] == (0, 0)


def test_everything_that_netx_has_not_is_named() -> None:
    made = graph(*NET)
    window = {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0)}
    pool = Node("max_pool", "pool", ("layer.0.neuron",), window)
    add, flat = Node("add", "sum", ("pool", "pool")), replace(made.by_name["flatten.3"], inputs=("sum",))
    nodes = [*made.nodes[:3], pool, add, flat, *made.nodes[4:]]
    with pytest.raises(UnsupportedModelError, match="--to lava") as caught:
        to_layers(replace(made, nodes=tuple(nodes)))
    assert [(finding.layer, finding.have) for finding in caught.value.findings] == [
        ("pool", "max_pool"),
        ("sum", "add"),
    ]


def test_threshold_groups_are_refused() -> None:
    made = graph(*NET)
    lif = made.by_name["layer.2.neuron"]
    grouped = {**lif.tensors, "thresholds": tensor(np.array([80, 80, 70, 70]), np.int32)}
    nodes = [replace(n, tensors=grouped) if n is lif else n for n in made.nodes]
    with pytest.raises(UnsupportedModelError, match="one threshold") as caught:
        to_layers(replace(made, nodes=tuple(nodes)))
    assert [finding.layer for finding in caught.value.findings] == ["layer.2.neuron"]


def test_a_transformer_is_refused_layer_by_layer() -> None:
    made = quantize(FAMILIES["qkformer"](), pictures(8))
    with pytest.raises(UnsupportedModelError) as caught:
        to_layers(made)
    assert {finding.have for finding in caught.value.findings} >= {"add", "gate", "reduce_sum"}


@pytest.mark.parametrize("weight", [[[-2, -4], [-2, -4]], [[0, 0], [0, 0]]])
def test_weights_that_netx_would_change_are_refused(weight: list[list[int]]) -> None:
    last = {"type": "dense", "shape": [2], "weight": np.array(weight), "neuron": dict(NET[2]["neuron"])}
    made = graph({**last, "weight": np.array([[1, -1], [2, 3]])}, {**last}, input_shape=None, semantics="slayer")
    with pytest.raises(UnsupportedModelError, match="optimize_weight_bits") as caught:
        to_layers(made)
    assert [finding.layer for finding in caught.value.findings] == ["layer.1.synapse"]


def test_a_head_whose_sum_could_fire_is_refused() -> None:
    made = random_head(steps=4096)
    with pytest.raises(NeurodeployError, match="does not fire"):
        to_layers(made)
    assert to_layers(random_head(steps=4)).shows_membrane


def random_head(steps: int) -> Graph:
    made = graph(*NET, steps=steps)
    head = Node("conv", "head", ("layer.2.neuron",), {"stride": (), "padding": (), "groups": 1},
                {"weight": tensor(np.arange(12).reshape(3, 4) * 10 - 60, np.int8)})  # fmt: skip
    end = replace(made.by_name["readout"], inputs=("head",), tensors={"bias": tensor(np.zeros(3), np.int64)})
    return made.with_nodes([*made.nodes[:-1], head, end])
