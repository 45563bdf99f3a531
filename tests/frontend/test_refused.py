"""What cannot be deployed is refused: with layer, source, need, have and next step, all findings at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from spikingjelly.activation_based import layer
from torch import Tensor, nn

from neurodeploy.errors import Finding, Terminated, UnsupportedModelError, UsageError
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


class LIF(nn.Module):
    """A neuron of nobody's library."""

    def neuronal_charge(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return (self.neuronal_charge(x) > 1).float()


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
    "one step taken": (lambda net, x: x[0].unsqueeze(0).repeat(STEPS, 1, 1, 1, 1), "ND-F003", "all time steps"),
    "half the steps": (lambda net, x: x[:2].repeat(2, 1, 1, 1, 1), "ND-F003", "2 of 4 time steps"),
    "steps in chunks": (lambda net, x: x.chunk(2)[1].repeat(2, 1, 1, 1, 1), "ND-F003", "of 4 time steps"),
    "one sample taken": (lambda net, x: x[:, 0].unsqueeze(1), "ND-F003", "one of 1 samples"),
    "every second channel": (lambda net, x: x[:, :, ::2].repeat(1, 1, 2, 1, 1), "ND-F003", "step 2"),
    "a part overwritten": (lambda net, x: (x.chunk(2, 2)[0].add_(x.chunk(2, 2)[1]), x)[1], "ND-F004", "add_"),
    "another difference": (lambda net, x: 2 - x, "ND-F003", "1 - x"),
    "a difference of spikes": (lambda net, x: x - net.lif1(x), "ND-F003", "1 - x"),
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
    "a factor a channel": (
        lambda net, x: x * net.w[:, :1, :1, :1].reshape(4, 1, 1),
        "ND-F003",
        "a factor that is one number",
    ),
    "a learned factor a channel": (lambda net, x: x * net.v, "ND-F003", "a tensor (4, 1, 1)"),
    "a factor that is none": (lambda net, x: x * float("nan"), "ND-F003", "a finite factor"),
    "factors that overflow": (lambda net, x: x * 1e200 * 1e200, "ND-F003", "a finite factor"),
    "a divisor that overflows": (lambda net, x: x / 5e-324, "ND-F003", "a finite factor"),
    "factors that vanish": (lambda net, x: x * 1e-30 * 1e-30, "ND-F003", "a finite factor"),
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


@pytest.mark.parametrize(
    ("case", "mend"),
    [
        ("every second channel", "neighbours"),
        ("half the steps", "keep the time axis whole"),
        ("another difference", "1 - x lowers"),
        ("a difference of spikes", "1 - x lowers"),
    ],
)
def test_what_to_do_next_is_of_the_cause(case: str, mend: str) -> None:
    assert mend in refusals(Bodies(BODIES[case][0], lif1=lif()))[0].next


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


def test_weights_of_a_double_model_that_float32_does_not_hold() -> None:
    model = Net().double()
    model.conv.weight.data[0] = 1e300
    (finding,) = refusals(model)
    assert (finding.code, finding.layer, finding.have) == ("ND-F003", "conv", "1e+300")
    model.conv.weight.data.fill_(1e-320)
    assert not trace(model, EXAMPLE).by_name["conv"].tensors["weight"].any()


@pytest.mark.parametrize(("variance", "eps"), [(-1.0, 1e-5), (0.0, 0.0)])
def test_variances_that_have_no_root(variance: float, eps: float) -> None:
    model = Net()
    model.bn.running_var[1], model.bn.eps = variance, eps
    (finding,) = refusals(model)
    assert (finding.layer, finding.have) == ("bn", str(variance + eps))
    assert "running_var" in finding.need


def test_what_a_loop_repeats_is_told_once() -> None:
    findings = refusals(Bodies(lambda net, x: torch.stack([x[t] for t in range(STEPS)])))
    assert [f.layer for f in findings] == ["select", "stack"]


def test_weights_without_values() -> None:
    (finding,) = refusals(Net().to("meta"))
    assert (finding.code, finding.layer) == ("ND-F010", "conv.weight")
    assert finding.have.startswith("9 on the meta device: conv.weight, conv.bias, bn.weight")


def test_a_module_inside_itself() -> None:
    model = Net().eval()
    model.sub = nn.Sequential(nn.Identity(), nn.Identity()).eval()
    model.again = model.sub[1]  # twice in the tree is no circle
    trace(model, EXAMPLE)
    model.sub[1].back = model.sub
    with pytest.raises(UnsupportedModelError) as caught:
        trace(model, EXAMPLE)
    assert [(f.code, f.layer) for f in caught.value.findings] == [("ND-F011", "sub.1.back")]


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


def test_a_refusal_leaves_stderr_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """torch dumps the graph that it had so far; what the model itself says in a sound trace is passed on."""
    refusals(Bodies(lambda net, x: x * 2 if x.sum() > 0 else x))
    assert capfd.readouterr().err == ""
    trace(Bodies(lambda net, x: (x, sys.stderr.write("said\n"))[0]).eval(), EXAMPLE)
    assert capfd.readouterr().err == "said\n"


def test_images_with_their_channels_last() -> None:
    (finding,) = refusals(Net(), torch.zeros(1, 4, 4, 1))
    assert (finding.code, "transpose(0, 3, 1, 2)" in finding.next) == ("ND-F005", True)


def test_numbers_read_one_by_one() -> None:
    (finding,) = refusals(Bodies(lambda net, x: torch.tensor(x.tolist())))
    assert (finding.code, "tolist" in finding.have) == ("ND-F005", True)


@pytest.mark.parametrize("error", [SystemExit(7), GeneratorExit(), BaseException("base")])
def test_a_forward_that_leaves(error: BaseException) -> None:
    def leave(net: Net, x: Tensor) -> Tensor:
        raise error

    (finding,) = refusals(Bodies(leave))
    assert finding.code == "ND-F005"
    assert type(error).__name__ in finding.have


@pytest.mark.parametrize("end", [KeyboardInterrupt(), Terminated(143)])
def test_an_interrupt_is_no_finding(end: BaseException) -> None:
    def interrupted(net: Net, x: Tensor) -> Tensor:
        raise end

    with pytest.raises(type(end)):
        trace(Bodies(interrupted).eval(), EXAMPLE)


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
        (lambda y: y.transpose(0, 1), "ND-F006", "not averaged"),
        (lambda y: y.flatten(0, 1), "ND-F006", "not averaged"),
        (lambda y: (y.mean(0), y), "ND-F006", "tuple of 2 outputs"),
        (lambda y: {"logits": y.mean(0)}, "ND-F006", "dict of 1 outputs"),
        (lambda y: (y.mean(0),), "ND-F006", "tuple of 1 outputs"),
        (lambda y: None, "ND-F006", "NoneType"),
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
    assert refusals(lif())[0].code == "ND-F014"


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


SET_IN_FORWARD: dict[str, Callable[[Net], Any]] = {
    "v set": lambda m: setattr(m.lif, "v", 0.9),
    "v_threshold set": lambda m: setattr(m.lif, "v_threshold", 0.5),
    "v read": lambda m: m.lif.v,
}


@pytest.mark.parametrize(("have", "touch"), SET_IN_FORWARD.items(), ids=SET_IN_FORWARD)
def test_a_neuron_touched_by_forward_is_refused(have: str, touch: Callable[[Net], Any]) -> None:
    class Touching(Net):
        def forward(self, x: Tensor) -> Tensor:
            touch(self)
            return super().forward(x)

    model = Touching()
    (found,) = refusals(model)
    assert (found.code, found.layer, found.have) == ("ND-F016", "lif", f"{have} by forward")
    assert "test_refused.py:" in found.source
    assert (model.lif.v, model.lif.v_threshold) == (0.0, 1.0)


TYPES: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: x.sum(2, keepdim=True, dtype=torch.int64).float() * x,
    "view": lambda x: x.view(torch.int32).view(torch.float32),
}


@pytest.mark.parametrize("work", TYPES.values(), ids=TYPES)
def test_other_types_than_floats_are_refused(work: Callable[[Tensor], Tensor]) -> None:
    class Cast(Net):
        def body(self, x: Tensor) -> Tensor:
            return work(x)

    assert "ND-F003" in {finding.code for finding in refusals(Cast())}


def test_a_package_missing_in_forward_is_named() -> None:
    class Lazy(Net):
        def body(self, x: Tensor) -> Tensor:
            import no_such_package_of_layers

            return no_such_package_of_layers.layer(x)

    (found,) = refusals(Lazy())
    assert found.code == "ND-F005"
    assert "no_such_package_of_layers" in found.need
    assert "install" in found.next
