"""Checkpoints into models: strict keys, shapes and values, all or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from neurodeploy.errors import InvalidFileError
from neurodeploy.frontend import load_checkpoint, load_into
from tests.frontend.test_checkpoint import refusal, same, saved, small


def test_load_into(tmp_path: Path) -> None:
    model, other = small(), small()
    with torch.no_grad():
        other.head.weight.zero_()
    assert load_into(other, saved(tmp_path / "c.pth", model.state_dict())) == ()
    assert same(dict(other.state_dict()), model)


def test_load_into_names_all_keys_and_changes_nothing(tmp_path: Path) -> None:
    model = small()
    content = dict(small(outputs=5).state_dict())
    del content["conv.weight"], content["bn.bias"]
    content |= {"extra.weight": torch.ones(1), "more": torch.ones(1), "conv.bias": torch.full((4,), torch.nan)}
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InvalidFileError) as caught:
        load_into(model, saved(tmp_path / "c.pth", content))
    have = [(f.code, f.have) for f in caught.value.findings]
    assert have == [
        ("ND-F105", "2 missing: bn.bias, conv.weight"),
        ("ND-F105", "2 unexpected: extra.weight, more"),
        ("ND-F106", "head.weight: (5, 4) for (3, 4); head.bias: (5,) for (3,)"),
        ("ND-F107", "NaN or infinity in conv.bias"),
    ]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_values_that_the_models_type_cannot_hold(tmp_path: Path) -> None:
    state = {**small().state_dict(), "head.bias": torch.full((3,), 1e300, dtype=torch.float64)}
    file = saved(tmp_path / "c.pth", state)
    assert refusal(lambda: load_into(small(), file)).have == "NaN or infinity in head.bias as torch.float32"
    load_into(small().double(), file)


def test_negative_variances_are_named(tmp_path: Path) -> None:
    file = saved(tmp_path / "c.pth", {**small().state_dict(), "bn.running_var": torch.tensor([1.0, 0.0, -1.0, 1.0])})
    finding = refusal(lambda: load_into(small(), file))
    assert (finding.code, finding.layer, finding.have) == (
        "ND-F107",
        "bn.running_var",
        "negative numbers in bn.running_var",
    )


def test_unused_keys_are_told_and_not_refused(tmp_path: Path) -> None:
    model = small()
    content = {k: v for k, v in model.state_dict().items() if k != "bn.num_batches_tracked"}
    content["block.0.norm2.weight"] = torch.ones(4)
    content["block.0.attn.res_lif.w"] = torch.zeros(())
    told = load_into(model, saved(tmp_path / "c.pth", content))
    assert told == ("block.0.attn.res_lif.w", "block.0.norm2.weight", "bn.num_batches_tracked")


def test_a_layer_of_the_model_is_never_taken_for_unused(tmp_path: Path) -> None:
    """A batch norm called norm1 would keep its initial statistics, and the network be wrong in silence."""
    model = small()
    model.norm1 = nn.BatchNorm2d(4)
    content = {k: v for k, v in model.state_dict().items() if not k.startswith("norm1")}
    finding = refusal(lambda: load_into(model, saved(tmp_path / "c.pth", content)))
    assert finding.have == "4 missing: norm1.bias, norm1.running_mean, norm1.running_var, norm1.weight"


def wrapped(**wrappers: float) -> dict[str, object]:
    """State dicts whose weights are all one number, by wrapper, and what timm and MAE put beside them."""
    states = {
        name: {key: torch.full_like(value, number) for key, value in small().state_dict().items()}
        for name, number in wrappers.items()
    }
    return {**states, "epoch": 3, "arch": "former", "version": 2, "metric": 96.2, "amp_scaler": {"scale": 1.0}}


@pytest.mark.parametrize(
    ("wrappers", "ema", "taken", "said"),
    [
        ({"state_dict": 1.0}, False, 1.0, ""),
        ({"state_dict_ema": 2.0, "state_dict": 1.0}, False, 1.0, "took state_dict; it also holds state_dict_ema"),
        ({"state_dict": 1.0, "state_dict_ema": 2.0}, True, 2.0, ""),
        ({"model": 1.0, "model_ema": 2.0}, False, 1.0, "took model; it also holds model_ema"),
        ({"model": 1.0, "model_ema": 2.0}, True, 2.0, ""),
        ({"model_ema": 2.0}, False, 2.0, "took model_ema, for it holds no other weights"),
        ({"net": 3.0, "model": 1.0}, False, 1.0, "took model; it also holds net"),
    ],
)
def test_moving_averages_are_a_choice_and_never_taken_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrappers: dict[str, float], ema: bool, taken: float, said: str
) -> None:
    model, file = small(), saved(tmp_path / "c.pth", wrapped(**wrappers))
    load_into(model, file, ema=ema)
    assert set(model.head.weight.flatten().tolist()) == {taken}
    assert [record.getMessage() for record in caplog.records] == ([f"{file}: {said}"] if said else [])


def test_moving_averages_that_are_not_there(tmp_path: Path) -> None:
    for content in (wrapped(state_dict=1.0), small().state_dict()):
        file = saved(tmp_path / "c.pth", content)
        assert refusal(lambda file=file: load_into(small(), file, ema=True)).code == "ND-F108"


def test_averages_inside_a_wrapper_of_their_own(tmp_path: Path) -> None:
    inner = {f"module.{key}": torch.full_like(value, 2.0) for key, value in small().state_dict().items()}
    content = {"model": small().state_dict(), "model_ema": {"module": inner, "decay": 0.9999}}
    model = small()
    load_into(model, saved(tmp_path / "c.pth", content), ema=True)
    assert set(model.conv.weight.flatten().tolist()) == {2.0}


def test_keys_that_the_published_models_carry_and_never_read(tmp_path: Path) -> None:
    """All of them beside one that is wrong: the wrong one alone is refused."""
    unused = ("norm.weight", "block.0.norm1.bias", "block.0.norm2.weight", "pos_embed", "patch.pos_embed")
    unused = (*unused, "block.0.bn.num_batches_tracked")
    state = {**small().state_dict(), **{key: torch.ones(2) for key in unused}}
    assert load_into(small(), saved(tmp_path / "c.pth", state)) == tuple(sorted(unused))
    state["block.0.normal.weight"] = torch.ones(2)
    finding = refusal(lambda: load_into(small(), saved(tmp_path / "c.pth", state)))
    assert finding.have == "1 unexpected: block.0.normal.weight"


@pytest.mark.parametrize(
    "keys",
    [
        {"x.norm.conv.weight": 1},
        {"norm1.weight": 4},
        {"norm.running_mean": 1},
        {"x.norm.weight": 1, "x.norm.bias": 1, "x.norm.running_mean": 1, "x.norm.running_var": 1},
        {"pos_embed.weight": 1},
        {"norm": 1},
        {"attn.qkv_mp.weight": 1},
    ],
)
def test_what_only_looks_like_the_unused_layers_is_refused(tmp_path: Path, keys: dict[str, int]) -> None:
    """By the rank of its tensor: a convolution, a batch norm and a part of something called norm are read."""
    state = {**small().state_dict(), **{key: torch.ones((2,) * rank) for key, rank in keys.items()}}
    finding = refusal(lambda: load_into(small(), saved(tmp_path / "c.pth", state)))
    assert finding.have == f"{len(keys)} unexpected: {', '.join(sorted(keys))}"


@pytest.mark.parametrize("model", [{"name": "former", "depths": [1, 2]}, {}, {"state_dict": {"depth": 4}}])
def test_a_wrapper_without_tensors_is_passed_over(tmp_path: Path, model: dict[str, object]) -> None:
    weights = small().state_dict()
    state = load_checkpoint(saved(tmp_path / "c.pth", {"model": model, "net": weights, "ema": {}}))
    assert state.keys() == weights.keys()
