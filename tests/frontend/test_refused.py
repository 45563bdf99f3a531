"""What cannot be deployed is refused: with layer, source, need, have and next step, all findings at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from spikingjelly.activation_based import layer, surrogate
from spikingjelly.activation_based.neuron import IFNode, ILIFNode, LIFNode, ParametricLIFNode, SimpleLIFNode
from torch import Tensor, nn

from neurodeploy.errors import Finding, UnsupportedModelError, UsageError
from neurodeploy.frontend import trace
from tests.frontend.small import STEPS, Net, interpret, lif, lively

EXAMPLE = torch.zeros(1, 1, 4, 4)


def refusals(model: nn.Module, example: Any = EXAMPLE) -> tuple[Finding, ...]:
    """The findings of a model in eval mode, every field filled."""
    with pytest.raises(UnsupportedModelError) as caught:
        trace(model.eval(), example)
    findings = caught.value.findings
    assert all(f.code.startswith("ND-F") and f.need and f.have and f.next for f in findings)
    return findings


class OwnCharge(LIFNode):
    def single_step_functional_forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().single_step_functional_forward(*args, **kwargs)


class OwnForward(LIFNode):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


class LIF(nn.Module):
    """A neuron of nobody's library."""

    def neuronal_charge(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return (self.neuronal_charge(x) > 1).float()


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
}


@pytest.mark.parametrize("case", NEURONS)
def test_neurons(case: str) -> None:
    factory, have = NEURONS[case]
    findings = refusals(Net(factory()))
    assert {(f.code, f.layer) for f in findings} == {("ND-F001", "lif")}
    assert sum(have in f.have for f in findings) == 1
    assert all(f.source.startswith("tests/frontend/small.py:") for f in findings)


def test_a_neuron_that_is_never_called_is_none_of_our_business() -> None:
    model = Net()
    model.spare = lif(v_reset=None)
    assert trace(model.eval(), EXAMPLE).by_name["lif"].op == "neuron"


def test_all_findings_at_once() -> None:
    class Bad(Net):
        def __init__(self) -> None:
            super().__init__(lif(v_reset=None, step_mode="s"))
            self.second = LIF()

        def body(self, x: Tensor) -> Tensor:
            return F.gelu(self.second(torch.softmax(x, -1)))

    findings = refusals(Bad())
    assert [(f.code, f.layer) for f in findings] == [
        *[("ND-F001", "lif")] * 2,
        ("ND-F001", "second"),
        ("ND-F004", "softmax"),
        ("ND-F004", "gelu"),
    ]
    assert all(f.source.startswith("tests/frontend/") for f in findings)


def test_train_mode_names_the_modules() -> None:
    model = Net()
    model.drop = nn.Dropout(0.5)
    with pytest.raises(UnsupportedModelError) as caught:
        trace(model.train(), EXAMPLE)
    assert [f.code for f in caught.value.findings] == ["ND-F008"]
    assert all(name in caught.value.findings[0].have for name in ("bn", "drop"))
    assert model.training
    assert model.bn.training


def test_one_layer_in_train_mode() -> None:
    model = Net().eval()
    model.bn.train()
    with pytest.raises(UnsupportedModelError, match="train mode: bn"):
        trace(model, EXAMPLE)


class Bodies(Net):
    """A net whose body is given."""

    def __init__(self, body: Callable[[Net, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.body_of = body
        for name, module in modules.items():
            self.add_module(name, module)

    def body(self, x: Tensor) -> Tensor:
        return self.body_of(self, x)


BODIES: dict[str, tuple[Callable[[Any, Tensor], Tensor], str, str]] = {
    "layer norm": (lambda net, x: F.layer_norm(x, (4,)), "ND-F004", "layer_norm"),
    "relu": (lambda net, x: F.relu(x), "ND-F004", "relu"),
    "comparison": (lambda net, x: (x > 0.5).float(), "ND-F004", "gt"),
    "a constant added": (lambda net, x: x + 1, "ND-F003", "a constant of the model"),
    "one step taken": (lambda net, x: x[0].unsqueeze(0).repeat(STEPS, 1, 1, 1, 1), "ND-F004", "select"),
    "time into channels": (lambda net, x: net.lif1(x.reshape(4, 1, -1, 4, 4).transpose(0, 2)), "ND-F003", "neuron"),
    "neuron behind time": (lambda net, x: net.lif1(x.transpose(0, 2)).transpose(0, 2), "ND-F003", "neuron"),
    "steps merged": (lambda net, x: x.reshape(2, 2, 4, 4, 4), "ND-F003", "time steps apart"),
    "shared neuron": (lambda net, x: net.lif(x), "ND-F002", "called again"),
    "dilation": (
        lambda net, x: F.conv2d(x.flatten(0, 1), net.w, dilation=2, padding=2)[:, None],
        "ND-F003",
        "dilation",
    ),
    "concatenation": (lambda net, x: torch.cat([x, x], 3), "ND-F004", "cat"),
    "a factor a channel": (lambda net, x: x * net.w[:, :1, :1, :1].reshape(4, 1, 1), "ND-F004", "slice"),
    "a learned factor a channel": (lambda net, x: x * net.v, "ND-F003", "a tensor (4, 1, 1)"),
    "a factor that is none": (lambda net, x: x * float("nan"), "ND-F003", "a finite factor"),
    "a division by zero": (lambda net, x: x / 0, "ND-F003", "a divisor that is not zero"),
}


@pytest.mark.parametrize("case", BODIES)
def test_ops(case: str) -> None:
    body, code, word = BODIES[case]
    model = Bodies(body, lif1=lif())
    model.w, model.v = nn.Parameter(torch.zeros(4, 4, 3, 3)), nn.Parameter(torch.zeros(4, 1, 1))
    findings = refusals(model)
    assert code in {f.code for f in findings}
    assert word in " ".join(f"{f.need} {f.have}" for f in findings if f.code == code)


def test_a_neuron_whose_first_axis_is_no_time() -> None:
    """The trap of a neuron over [T*B*..., C]: here the tokens stand in front."""
    model = Bodies(lambda net, x: net.proj_lif(x.permute(3, 1, 2, 0, 4)).permute(3, 1, 2, 0, 4), proj_lif=lif())
    (finding,) = refusals(model)
    assert finding.code == "ND-F003"
    assert finding.layer == "proj_lif"
    assert "T = 4" in finding.need


def test_two_modules_that_are_one_neuron() -> None:
    model = Bodies(lambda net, x: net.second(x))
    model.second = model.lif
    (finding,) = refusals(model)
    assert (finding.code, finding.layer) == ("ND-F002", "lif")


def test_weights_that_are_not_finite() -> None:
    model = Net()
    model.conv.weight.data[0] = torch.nan
    model.bn.running_var[1] = torch.inf
    assert [(f.layer, f.have) for f in refusals(model)] == [("conv", "NaN or infinity")]
    model.conv.weight.data[0] = 0
    assert [(f.layer, f.have) for f in refusals(model)] == [("bn", "NaN or infinity")]


def test_written_through_a_view() -> None:
    """Where torch does not resolve it (2.3 does), it is refused; in no case is the write lost."""
    model = lively(Bodies(lambda net, x: (x.flatten(3).mul_(2), x)[1])).double()
    image = torch.rand(1, 4, 4, dtype=torch.float64) * 2
    try:
        graph = trace(model, image[None])
    except UnsupportedModelError as error:
        assert "mul_" in error.findings[0].have
    else:
        assert torch.allclose(interpret(graph, image)[graph.output][0], model(image[None])[0])


def test_control_flow_on_data() -> None:
    (finding,) = refusals(Bodies(lambda net, x: x * 2 if x.sum() > 0 else x))
    assert finding.code == "ND-F005"
    assert "\n" not in finding.have


def test_a_forward_that_fails() -> None:
    (finding,) = refusals(Net(), torch.zeros(1, 3, 4, 4))
    assert finding.code == "ND-F005"
    assert "channels" in finding.have


class Outputs(Net):
    def __init__(self, end: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.end = end

    def forward(self, x: Tensor) -> Any:
        y = self.conv(x).unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)
        return self.end(self.head(self.lif(y).mean((3, 4))))


@pytest.mark.parametrize(
    ("end", "code", "have"),
    [
        (lambda y: y, "ND-F006", "not averaged"),
        (lambda y: (y.mean(0), y), "ND-F006", "2 outputs"),
        (lambda y: y.mean(0).flatten(), "ND-F006", "shape (3,)"),
        (lambda y: y.mean(1), "ND-F003", "batch"),
        (lambda y: y.mean(), "ND-F003", "all axes"),
        (lambda y: F.relu(y.mean(0)), "ND-F004", "aten.relu"),
        (lambda y: y.mean(0) * y.mean(0), "ND-F003", "mul after it"),
    ],
)
def test_outputs(end: Callable[[Tensor], Any], code: str, have: str) -> None:
    (finding,) = refusals(Outputs(end))
    assert finding.code == code
    assert have in f"{finding.need} {finding.have}"


def test_a_model_that_is_a_neuron() -> None:
    assert refusals(lif())[0].code == "ND-F001"


def test_recurrent_state_beside_neurons() -> None:
    container = layer.LinearRecurrentContainer(nn.Identity(), 4, 4, step_mode="m")
    findings = refusals(Bodies(lambda net, x: net.loop(x), loop=container))
    assert {f.code for f in findings} == {"ND-F001"}


@pytest.mark.parametrize(
    "example",
    [np.zeros((1, 4, 4)), np.zeros((0, 1, 4, 4)), np.zeros((1, 1, 1, 1, 4, 4)), [[1.0]], None, "image"],
)
def test_examples(example: Any) -> None:
    with pytest.raises(UsageError) as caught:
        trace(Net().eval(), example)
    assert caught.value.findings[0].code == "ND-F007"


def test_what_is_no_module() -> None:
    for given in (Net, {"model": Net()}, None):
        with pytest.raises(UsageError, match="ND-F009"):
            trace(given, EXAMPLE)  # type: ignore[arg-type]


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
