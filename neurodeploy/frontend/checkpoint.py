"""Checkpoints: what training scripts save, unwrapped to a state dict, and loaded strictly."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neurodeploy.errors import Finding, InvalidFileError
from neurodeploy.frontend.archive import DamagedError, read_archive
from neurodeploy.frontend.unpickle import ForbiddenError, ForeignError, Stored

WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "network", "module")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")  # moving averages that stand beside the weights
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
COUNTER = "num_batches_tracked"  # of batch norms, which eval mode does not read
MEAN, VARIANCE = "running_mean", "running_var"
# What the official models carry and never call: layer norms, and positions. A model that has one of them may well call
# it, so that only a checkpoint may have them beyond its model.
NORMS = frozenset({"norm", "norm1", "norm2"})
IDLE = frozenset({"qkv_mp", "res_lif"})  # a pool and a neuron; a parametric neuron has a tensor, its w
POSITIONS = "pos_embed"
_DEEPEST = 8  # wrappers inside one another
_PLAIN = "leave ema (--ema) out to take the weights themselves"
_SAVE = "save it again with torch.save(model.state_dict(), path)"
_DENSE = "convert these tensors to dense floats, then save the state dict again"


def load_checkpoint(path: str | PathLike[str], *, ema: bool = False) -> dict[str, torch.Tensor]:
    """The state dict of a checkpoint, on the CPU; no code that the file holds is run.

    Reads both formats of torch.save; unwraps {"model": ...}, {"state_dict": ...} and the like, and the prefix of
    DataParallel. ema: take the moving averages, {"state_dict_ema": ...} and the like, not the weights themselves.
    Where a file holds several state dicts, a warning of the logger `neurodeploy` says which one was taken.
    Raises InvalidFileError for a missing, damaged or hostile file, and for one without (averaged) state dict.
    """
    file = Path(path)
    try:
        state = _state_dict(file, read_archive(file), ema)
        _check_tensors(file, state)
        return _without_prefix({key: value.tensor() for key, value in state.items()})
    except ForeignError as error:
        raise _invalid(file, "ND-F104", "a state dict of dense tensors of real numbers", str(error), _DENSE) from None
    except ForbiddenError as error:
        have = f"it asks for {error.name}, which could run code"
        raise _invalid(file, "ND-F103", "a checkpoint of tensors", have, _SAVE) from None
    except OSError as error:
        have = error.strerror or type(error).__name__
        raise _invalid(file, "ND-F101", "a checkpoint file", have, "check the path") from None
    except (DamagedError, pickle.UnpicklingError) as error:
        raise _invalid(file, "ND-F102", "a checkpoint of torch.save", str(error), _SAVE) from None
    except (AttributeError, EOFError, IndexError, KeyError, MemoryError, OverflowError, TypeError, ValueError) as error:
        have = f"a damaged pickle ({type(error).__name__})"  # what a pickle machine raises on nonsense
        raise _invalid(file, "ND-F102", "a checkpoint of torch.save", have, _SAVE) from None


def load_into(model: nn.Module, path: str | PathLike[str], *, ema: bool = False) -> tuple[str, ...]:
    """Load a checkpoint into a model, all or nothing; return the keys of one side that no forward needs.

    ema: the moving averages of the weights, which a checkpoint may hold beside them, as in `load_checkpoint`.
    Raises InvalidFileError that names every missing, unexpected or wrongly shaped key, weights that are not finite in
    the model's type, and negative variances.
    """
    state, expected = load_checkpoint(path, ema=ema), model.state_dict()
    missing, unexpected = ([*(a.keys() - b.keys())] for a, b in ((expected, state), (state, expected)))
    idle = [key for key in missing if key.endswith(COUNTER)]
    idle += [key for key in unexpected if _is_unused(key, state)]
    findings = [
        *_key_findings(path, "every parameter of the model", "missing", set(missing) - set(idle)),
        *_key_findings(path, "parameters of the model only", "unexpected", set(unexpected) - set(idle)),
        *_value_findings(path, state, expected),
    ]
    if findings:
        raise InvalidFileError(findings)
    model.load_state_dict({key: value for key, value in state.items() if key in expected}, strict=False)
    return tuple(sorted(idle))


def _is_unused(key: str, state: Mapping[str, torch.Tensor]) -> bool:
    """Whether a key of a checkpoint is one that the official models never read; a batch norm called norm is read."""
    *_, layer, name = ("", *key.split("."))
    if layer in NORMS and name in ("weight", "bias"):
        return state[key].ndim == 1 and f"{key.removesuffix(name)}{MEAN}" not in state
    return name in (COUNTER, POSITIONS) or (layer in IDLE and state[key].numel() == 1)


def _key_findings(path: str | PathLike[str], need: str, kind: str, keys: set[str]) -> Iterator[Finding]:
    if keys:
        have = f"{len(keys)} {kind}: {', '.join(sorted(keys))}"
        mend = "load it into the model that it was trained with: same family, same depth and widths"
        yield Finding("ND-F105", sorted(keys)[0], need, have, mend, str(path))


def _value_findings(
    path: str | PathLike[str], state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> Iterator[Finding]:
    both = [key for key in expected if key in state]
    shapes = {key: (tuple(state[key].shape), tuple(expected[key].shape)) for key in both}
    wrong = [f"{key}: {have} for {need}" for key, (have, need) in shapes.items() if have != need]
    if wrong:
        mend = "build the model with the sizes that it was trained with"
        yield Finding("ND-F106", "", "tensors of the model's shapes", "; ".join(wrong), mend, str(path))
    broken = [key for key in both if not _finite(state[key])]
    large = [key for key in both if key not in broken and not _finite(state[key].to(expected[key].dtype))]
    if broken or large:  # 1e300 is finite in the file and infinite in a model of float32
        have = f"NaN or infinity in {', '.join(broken + [f'{key} as {expected[key].dtype}' for key in large])}"
        yield Finding("ND-F107", (broken + large)[0], "finite weights", have, "use an earlier checkpoint", str(path))
    negative = [key for key in both if key.split(".")[-1] == VARIANCE and bool((state[key] < 0).any())]
    if negative:
        have = f"negative numbers in {', '.join(negative)}"
        yield Finding("ND-F107", negative[0], "variances of zero or more", have, "use an earlier checkpoint", str(path))


def _finite(values: torch.Tensor) -> bool:
    return bool(torch.isfinite(values).all())


def _state_dict(file: Path, loaded: Any, ema: bool) -> dict[Any, Any]:
    """The innermost of the known wrappers, or nothing that is a state dict (a dict that holds itself is none).

    Where one holds several, the weights come before their moving averages, as in timm, unless `ema` asks for these.
    """
    wanted = ema
    for _ in range(_DEEPEST):
        if not isinstance(loaded, dict):
            break
        plain, means = ([name for name in names if _holds_tensors(loaded.get(name))] for names in (WRAPPERS, AVERAGED))
        if not plain and not means:
            if wanted:
                raise _invalid(file, "ND-F108", "moving averages of the weights", "none beside them", _PLAIN)
            return loaded
        name = (means + plain if wanted else plain + means)[0]
        others = [other for other in (means if wanted else plain + means) if other != name]
        if others or (name in means and not ema):
            held = f"; it also holds {', '.join(others)}" if others else ", for it holds no other weights"
            logging.getLogger("neurodeploy").warning("%s: took %s%s", file, name, held)
        wanted = wanted and name not in means
        loaded = loaded[name]
    return {}


def _holds_tensors(wrapper: object) -> bool:
    """Whether it is a dict with a tensor, in it or in wrappers inside it: a `model` may well be a configuration."""
    waiting, seen = [wrapper], set[int]()
    while waiting:
        held = waiting.pop()
        if isinstance(held, dict) and id(held) not in seen:
            seen.add(id(held))
            if any(isinstance(value, Stored) for value in held.values()):
                return True
            waiting.extend(held.get(name) for name in (*WRAPPERS, *AVERAGED))
    return False


def _check_tensors(file: Path, state: dict[Any, Any]) -> None:
    """Raise InvalidFileError unless every item is a tensor under a name."""
    other = [key for key, value in state.items() if not (isinstance(key, str) and isinstance(value, Stored))]
    if other or not state:  # a key that is no text may be as large as it likes when it is printed
        names = [key if isinstance(key, str) else f"a key of type {type(key).__name__}" for key in other[:8]]
        have = f"no tensors under {', '.join(names)}" if other else "no tensors"
        raise _invalid(file, "ND-F104", "a state dict: tensors by name", have, _SAVE)


def _without_prefix(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for _ in range(_DEEPEST):
        prefix = next((p for p in PREFIXES if all(key.startswith(p) for key in state)), "")
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _invalid(file: Path, code: str, need: str, have: str, mend: str) -> InvalidFileError:
    return InvalidFileError(Finding(code, "", need, have, mend, str(file)))
