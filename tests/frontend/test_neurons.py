"""Neurons: what cannot be deployed is refused with layer, source and reason; what is read from the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import surrogate
from spikingjelly.activation_based.neuron import IFNode, ILIFNode, LIFNode, ParametricLIFNode, SimpleLIFNode
from torch import Tensor, nn

from neurodeploy.frontend import trace
from neurodeploy.frontend.neurons import read
from tests.frontend.small import Net, lif
from tests.frontend.test_refused import EXAMPLE, LIF, refusals


class OwnCharge(LIFNode):
    def single_step_functional_forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().single_step_functional_forward(*args, **kwargs)


class OwnForward(LIFNode):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


def hooked() -> LIFNode:
    neuron = lif()
    neuron.register_forward_hook(lambda module, args, out: out * 2)
    return neuron


def patched() -> LIFNode:
    neuron = lif()
    neuron.forward = lambda x: x
    return neuron


def analogue() -> LIFNode:
    return lif(surrogate_function=surrogate.ATan(spiking=False))


def per_channel() -> ParametricLIFNode:
    neuron = ParametricLIFNode(step_mode="m")
    neuron.w = nn.Parameter(torch.zeros(4, 1, 1))
    return neuron


def with_(neuron: nn.Module, **attributes: Any) -> nn.Module:
    """The neuron with attributes set past the checks of its constructor."""
    for name, value in attributes.items():
        setattr(neuron, name, value)
    return neuron


def starts_at(value: Any) -> LIFNode:
    neuron = lif()
    neuron._memories_rv["v"] = value
    return neuron


def learned(w: float) -> ParametricLIFNode:
    neuron = ParametricLIFNode(step_mode="m")
    neuron.w.data.fill_(w)
    return neuron


class Silent:
    """A callable object, which is no routine of Python."""

    def __call__(self, x: Tensor) -> Tensor:
        return x * 0


NEURONS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "soft reset": (lambda: lif(v_reset=None), "soft reset"),
    "single step": (lambda: lif(step_mode="s"), "step_mode 's'"),
    "stored membrane": (lambda: lif(store_v_seq=True), "store_v_seq True"),
    "threshold below reset": (lambda: lif(v_threshold=0.5, v_reset=0.5), "0.5 and 0.5"),
    "own functional forward": (lambda: OwnCharge(step_mode="m"), "single_step_functional_forward"),
    "own forward": (lambda: OwnForward(step_mode="m"), "its own forward"),
    "integer neuron": (lambda: ILIFNode(step_mode="m"), "ILIFNode"),
    "unknown class": (LIF, "test_refused.LIF"),
    "simple node with a reset": (lambda: SimpleLIFNode(2.0, True, v_reset=0.5, step_mode="m"), "a start at 0"),
    "hook": (hooked, "_forward_hooks"),
    "patched forward": (patched, "its own forward"),
    "no spikes": (analogue, "spiking False"),
    "time constant a channel": (per_channel, "4 of them"),
    "forward by a partial": (lambda: with_(lif(), forward=partial(torch.mul, 0)), "its own forward"),
    "forward by an object": (lambda: with_(lif(), forward=Silent()), "its own forward"),
    "another start": (lambda: starts_at(0.9), "v_reset 0.0 and a start at 0.9"),
    "a start a neuron": (lambda: starts_at(torch.zeros(4)), "v_reset 0.0 and a start at Tensor"),
    "infinite threshold": (lambda: lif(v_threshold=float("inf")), "inf"),
    "threshold that is none": (lambda: lif(v_threshold=float("nan")), "nan"),
    "huge threshold": (lambda: with_(lif(), v_threshold=10**400), "int"),
    "threshold tensor": (lambda: with_(lif(), v_threshold=torch.ones(1)), "Tensor"),
    "range that is infinite": (lambda: lif(v_threshold=1e308, v_reset=-1e308), "1e+308 and -1e+308"),
    "reset of text": (lambda: with_(lif(), v_reset="0"), "str"),
    "tau of text": (lambda: with_(lif(), tau="2"), "tau str"),
    "tau tensor": (lambda: with_(lif(), tau=torch.full((4,), 2.0)), "tau Tensor"),
    "infinite tau": (lambda: with_(lif(), tau=float("inf")), "tau inf"),
    "tau that is none": (lambda: with_(lif(), tau=float("nan")), "tau nan"),
    "tau of zero": (lambda: with_(lif(), tau=0.0), "tau 0.0"),
    "negative tau": (lambda: with_(lif(), tau=-2.0), "tau -2.0"),
    "tau under a step": (lambda: with_(lif(), tau=0.5), "tau 0.5"),
    "learned tau that is none": (lambda: learned(float("nan")), "w nan"),
    "learned tau without end": (lambda: learned(-1e5), "w -100000.0"),
}


@pytest.mark.parametrize("case", NEURONS)
def test_neurons(case: str) -> None:
    factory, have = NEURONS[case]
    findings = refusals(Net(factory()))
    assert {(f.code, f.layer) for f in findings} == {("ND-F001", "lif")}
    assert sum(have in f.have for f in findings) == 1
    assert all("[T, B" not in f.next for f in findings)
    assert all(f.source.startswith("tests/frontend/small.py:") for f in findings)


@pytest.mark.parametrize("module", ["snntorch._neurons.leaky", "norse.torch.module.lif", "sinabs.layers.lif"])
def test_neurons_of_other_libraries(module: str) -> None:
    """By the name of the package that defines the class; none of them has to be installed."""
    leaky = type("Leaky", (nn.Module,), {"__module__": module, "forward": lambda self, x: (x > 1).float()})
    findings = refusals(Net(leaky()))
    assert [(f.code, f.layer) for f in findings] == [("ND-F001", "lif")]


def test_official_stand_ins() -> None:
    """Clock-driven multi-step neurons are known by class name and module, whoever defines them."""
    base = type("BaseNode", (nn.Module,), {"__module__": "spikingjelly.clock_driven.neuron", "forward": lambda s, x: x})
    node = type("MultiStepLIFNode", (base,), {"__module__": "spikingjelly.clock_driven.neuron"})
    neuron = node()
    neuron.tau, neuron.v_threshold, neuron.v_reset = 4.0, 1.0, 0.0
    found = trace(Net(neuron).eval(), EXAMPLE).by_name["lif"]
    assert dict(found.attributes) == {"decay": 0.25, "threshold": 1.0, "decay_input": 1}


def test_if_node_has_no_decay() -> None:
    found = trace(Net(IFNode(step_mode="m", v_threshold=2.0, v_reset=-1.0)).eval(), EXAMPLE).by_name["lif"]
    assert dict(found.attributes) == {"decay": 0.0, "threshold": 3.0, "decay_input": 0}


BASE = surrogate.SurrogateFunctionBase
OTHERS = (BASE, surrogate.MultiLevelSpikeCount, surrogate.PoissonPass)  # counts and chance are no step
SURROGATES = [k for k in vars(surrogate).values() if isinstance(k, type) and issubclass(k, BASE) and k not in OTHERS]


@pytest.mark.parametrize("kind", SURROGATES)
def test_surrogates_that_are_the_step_function(kind: type[nn.Module]) -> None:
    assert read("", lif(surrogate_function=kind()), nn.Identity()).findings == ()


class Shifted(surrogate.ATan):
    def forward(self, x: Tensor) -> Tensor:
        return (x >= 0.3).to(x)


@pytest.mark.parametrize(
    ("function", "have"),
    [
        (lambda x: (x >= 0.3).to(x), "lambda"),
        (lambda x: (x > 0).to(x), "lambda"),
        (lambda x: 2 * (x >= 0).to(x), "lambda"),
        (lambda x: (x >= 0).to(x) - (x < -1).to(x), "lambda"),
        (nn.Sigmoid(), "Sigmoid"),
        (Shifted(), "Shifted"),
        (surrogate.PoissonPass(), "PoissonPass"),
        (surrogate.MultiLevelSpikeCount(4), "MultiLevelSpikeCount"),
        (lambda: None, "lambda"),
    ],
)
def test_a_surrogate_that_is_no_step_at_the_threshold_is_refused(function: Any, have: str) -> None:
    (found,) = read("", lif(surrogate_function=function), nn.Identity()).findings
    assert found.code == "ND-F001"
    assert have in found.have


def test_a_learned_time_constant_is_a_parameter_that_the_output_needs() -> None:
    counts = json.loads(trace(Net(ParametricLIFNode(step_mode="m")).eval(), EXAMPLE).metadata["parameters"])
    assert counts["needed"] == counts["model"]
