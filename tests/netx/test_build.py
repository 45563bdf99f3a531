"""From layers to a graph: the attributes, and by name what cannot be held, all at once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.reference import backend
from neurodeploy.errors import InvalidFileError, NeurodeployError, UnsupportedModelError, UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.proof import require_proof
from neurodeploy.netx import build
from tests.netx.files import FLATTEN, NET, conv, dense, graph, neuron


def notices(made: Graph) -> list[str]:
    found: list[str] = json.loads(made.metadata["imported"])["notices"]
    return found


def test_a_network_of_conv_flatten_dense() -> None:
    made = graph(*NET)
    require_proof(made)
    names = ["input", "layer.0.synapse", "layer.0.neuron", "flatten.3", "layer.2.synapse", "layer.2.neuron", "readout"]
    assert [node.name for node in made.nodes] == names
    assert made.image_shape == (4, 2, 4, 4) and made.output_scale == 0.25 and not notices(made)
    lif = made.by_name["layer.0.neuron"]
    assert {**lif.attributes} == {"vth": 80, "dv": 1000, "weight_exp": 0, "bias_exp": 0}
    assert made.by_name["layer.0.synapse"].tensors["weight"].dtype == np.int8


def test_wide_weights_take_an_exponent_and_a_current_its_decay() -> None:
    own = neuron(iDecay=1024)
    wide = 2 * (np.arange(54.0).reshape(3, 2, 3, 3) * 4 - 100)
    made = graph(conv(weight=wide, neuron=own, bias=[1.0, -2, 3]), FLATTEN, dense())
    lif = made.by_name["layer.0.neuron"]
    assert lif.integer("du") == 1024 and lif.integer("weight_exp") == 1 and lif.integer("bias_exp") == 6
    assert lif.tensors["bias_mant"].reshape(-1).tolist() == [1, -2, 3]
    weight = made.by_name["layer.0.synapse"].tensors["weight"].astype(int)
    assert (weight * 2 == wide).all()


def test_a_dilated_kernel_is_a_larger_one() -> None:
    made = graph(conv(dilation=[2, 1], padding=[2, 1]), FLATTEN, dense())
    weight = made.by_name["layer.0.synapse"].tensors["weight"]
    assert weight.shape == (3, 2, 5, 3) and not weight[:, :, 1::2].any()


def test_a_pooling_is_one_window_a_channel_with_slayers_padding_behind() -> None:
    pool = {"type": "pool", "shape": [2, 3, 3], "weight": np.full((1, 1, 2, 2), 6.0), "stride": [2, 2]}
    pool |= {"padding": [0, 0], "dilation": [1, 1], "neuron": neuron(vThMant=1)}
    made = graph(pool, input_shape=(2, 5, 5), steps=1)
    frames = np.random.default_rng(0).integers(0, 2, (6, 1, 2, 5, 5))
    spikes = backend.run(made, frames.astype(np.float32), probes="all").spikes["layer.0.neuron"]
    padded = np.pad(frames, ((0, 0), (0, 0), (0, 0), (0, 1), (0, 1)))
    sums = padded.reshape(6, 1, 2, 3, 2, 3, 2).sum(axis=(4, 6))
    assert (spikes == (6 * sums > 1)).all()


def test_input_neurons_take_the_image_as_their_bias() -> None:
    first = {"type": "input", "shape": [2, 4, 4], "weight": [64.0], "bias": [5.0], "neuron": neuron(iDecay=100)}
    made = graph(first, *NET, events=False, input_range=(-1, 1))
    code, lif = made.by_name["input"], made.by_name["layer.0.neuron"]
    assert (code.number("step"), code.integer("lo"), code.integer("hi")) == (1 / 64, -64, 64)
    assert "du" not in lif.attributes and lif.tensors["bias_mant"].reshape(-1).tolist() == [5]
    assert made.image_shape == (2, 4, 4)


def test_a_last_layer_that_never_fires_shows_its_membrane() -> None:
    last = dense(neuron=neuron(vDecay=0, vThMant=(1 << 18) - 1), bias=[1.0, 2, 3, 4])
    made = graph(conv(), FLATTEN, last)
    assert [node.op for node in made.nodes][-2:] == ["conv", "readout"]
    assert made.by_name["readout"].tensors["bias"].tolist() == [4, 8, 12, 16] and made.output_scale == 1
    with pytest.raises(UnsupportedModelError, match="never fires"):
        graph(conv(), FLATTEN, last, steps=4000)


def test_delays_of_netx_are_of_sums_and_of_slayer_of_spikes() -> None:
    late = dense(delay=[0.0, 1, 2, 99])
    netx = graph(conv(delay=[1.0, 2, 3]), FLATTEN, late)
    assert [node.op for node in netx.nodes] == [
        "encode_events",
        "conv",
        "lif",
        "reshape",
        "conv",
        "delay",
        "lif",
        "readout",
    ]
    assert netx.of("delay")[0].tensors["delay"].tolist() == [0, 1, 2, 62]
    assert ["leaves out the delays" in notices(netx)[0], "beyond 62" in notices(netx)[1]] == [True, True]
    slayer = graph(conv(delay=[1.0, 2, 3]), FLATTEN, dense(delay=[2.0]), semantics="slayer")
    ops = ["encode_events", "conv", "lif", "delay", "reshape", "conv", "lif", "delay", "readout"]
    assert [node.op for node in slayer.nodes] == ops
    assert slayer.of("delay")[0].tensors["delay"].tolist() == [[[1]], [[2]], [[3]]]
    incoming = graph(conv(), FLATTEN, dense(delay=np.arange(48.0) % 5))
    assert [node.op for node in incoming.nodes][3:6] == ["reshape", "delay", "conv"]


def test_weights_that_netx_changes_are_told_and_can_be_kept() -> None:
    weight = np.where(np.arange(192).reshape(4, 48) % 7 == 0, -4.0, -2.0)
    made, kept = (graph(conv(), FLATTEN, dense(weight=weight), semantics=s) for s in ("netx", "slayer"))
    assert "-4 as -2" in notices(made)[0] and not notices(kept)
    assert (made.by_name["layer.2.synapse"].tensors["weight"] == -2).all()
    assert (kept.by_name["layer.2.synapse"].tensors["weight"] == weight).all()
    with pytest.raises(UnsupportedModelError, match='semantics="slayer"'):
        graph(conv(), FLATTEN, dense(weight=np.zeros((4, 48))))


UNSUPPORTED: list[tuple[dict[str, Any], str]] = [
    ({"type": "dense_rec"}, "recurrent"),
    ({"type": "average"}, "average"),
    ({"type": "concat"}, "side by side"),
    (conv(neuron=neuron(type="SDNN")), "sigma-delta"),
    (conv(neuron=neuron(type="RF_PHASE")), "resonate"),
    (conv(neuron=neuron(refDelay=2)), "refDelay 2"),
    (conv(neuron=neuron(gradedSpike=True)), "gradedSpike"),
    (conv(neuron=neuron(weight_exp=1.0)), "WgtScaleBatchNorm"),
    (conv(neuron=neuron(iDecay=[100, 200])), "shared_param"),
    (conv(neuron=neuron(iDecay=0)), "iDecay"),
    (conv(neuron=neuron(vDecay=4096)), "vDecay"),
    (conv(neuron=None), "CUBA"),
    (conv(weight=np.full((3, 2, 3, 3), 129.0)), "-128..127"),
]


@pytest.mark.parametrize(("layer", "said"), UNSUPPORTED)
def test_what_cannot_be_held_is_named(layer: dict[str, Any], said: str) -> None:
    with pytest.raises(UnsupportedModelError, match=said) as caught:
        graph(layer, FLATTEN, dense())
    assert all(f.layer.startswith("/layer/0") and f.source == "test.net" and f.next for f in caught.value.findings)


DAMAGED: list[tuple[dict[str, Any], str]] = [
    ({"type": "magic"}, "magic"),
    ({"shape": [1]}, "`type`"),
    (conv(weight=np.full((3, 2, 3, 3), np.nan)), "NaN"),
    (conv(weight=np.full((3, 2, 3, 3), 1e30)), "magnitude"),
    (conv(weight=np.ones((3, 9, 3, 3))), "\\[3, 9, 3, 3\\]"),
    (conv(weight=np.ones((4, 2, 3, 3))), "3 channels"),
    (conv(weight=np.ones(3)), "height, width"),
    (conv(weight=None), "`weight`"),
    (conv(shape=[3, 5, 4]), "\\[3, 5, 4\\]"),
    (conv(shape=[3, 1 << 20, 1 << 20]), "`shape`"),
    (conv(shape=np.ones(1 << 20)), "at most 8 values"),
    (conv(stride=[0, 1]), "`stride`"),
    (conv(stride=[1, 1, 1]), "2 values `stride`"),
    (conv(dilation=[4000, 4000]), "16,777,216 weights"),
    (conv(groups=0), "0 group"),
    (conv(bias=[1.0, 2]), "`bias`"),
    (conv(delay=[-1.0, 2, 2]), "`delay`"),
    (conv(neuron=neuron(vThMant=-1)), "`vThMant`"),
    (conv(neuron=neuron(vDecay=None)), "`vDecay`"),
]


@pytest.mark.parametrize(("layer", "said"), DAMAGED)
def test_what_no_slayer_writes_is_a_damaged_file(layer: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidFileError, match=said):
        graph(layer, FLATTEN, dense())


def test_layers_whose_zeros_add_up_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = conv(dilation=[2, 2], padding=[2, 2])  # 54 weights, 150 with the zeros between them
    monkeypatch.setattr(build, "MAX_WEIGHTS", 341)
    with pytest.raises(InvalidFileError, match="342 up to here") as caught:
        graph(wide, FLATTEN, dense(), dense(weight=np.ones((4, 4))))
    assert [finding.layer for finding in caught.value.findings] == ["/layer/2"]
    monkeypatch.setattr(build, "MAX_WEIGHTS", 342)
    assert graph(wide, FLATTEN, dense())


@pytest.mark.parametrize("weight", [np.float64(3), np.ones(4), np.ones((3, 48))])
def test_dense_weights_that_are_no_matrix_of_the_layer(weight: Any) -> None:
    with pytest.raises(InvalidFileError, match="4 rows"):
        graph(dense(weight=weight))


def test_a_range_beyond_all_codes_is_that_of_the_codes() -> None:
    (encoder,) = graph(*NET, input_range=(-1e308, 1e308)).encoders
    assert (encoder.integer("lo"), encoder.integer("hi")) == (-128, 127)


def test_everything_is_told_at_once() -> None:
    with pytest.raises(NeurodeployError) as caught:
        graph(conv(neuron=neuron(refDelay=3, gradedSpike=True)), {"type": "concat"}, dense(neuron=neuron(type="ALIF")))
    where = [finding.layer for finding in caught.value.findings]
    assert where == ["/layer/0/neuron", "/layer/0/neuron", "/layer/1", "/layer/2/neuron"]


@pytest.mark.parametrize("layers", [(), (FLATTEN, dense(weight=np.ones((4, 9)))), (conv(), dense())])
def test_layers_that_do_not_follow_one_another(layers: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(InvalidFileError):
        graph(*layers)


def test_a_dense_layer_says_how_much_comes_in() -> None:
    assert graph(dense(), input_shape=None).image_shape == (4, 48)


def test_another_shape_than_that_of_the_first_layer_is_refused() -> None:
    first = {"type": "input", "shape": [2, 4, 4], "neuron": neuron()}
    for layers in ((first, *NET), (dense(),)):
        with pytest.raises(UsageError, match=r"input_shape \(7, 9, 9\)") as caught:
            graph(*layers, input_shape=(7, 9, 9))
        assert [finding.layer for finding in caught.value.findings] == ["/layer/0"]
    assert graph(first, *NET, input_shape=[2, 4, 4]).image_shape == (4, 2, 4, 4)
    assert graph(dense(), input_shape=(48, 1, 1)).image_shape == (4, 48)


def test_the_shape_of_the_input_is_asked_for() -> None:
    with pytest.raises(UsageError, match="--input-shape"):
        graph(*NET, input_shape=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("steps", 9999), ("semantics", "best"), ("input_message_bits", 9), ("input_shape", (1, 2)),
     ("input_shape", (0,)), ("input_range", (1, 2)), ("input_range", (0, 0)), ("input_range", (0, np.inf)),
     ("input_range", (-np.inf, np.inf)), ("input_range", (0, np.nan)), ("input_range", (0, 0.25))],
)  # fmt: skip
def test_a_reading_that_cannot_be(name: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        graph(*NET, **{name: value})  # type: ignore[arg-type]
    assert [finding.layer for finding in caught.value.findings] == [name]
