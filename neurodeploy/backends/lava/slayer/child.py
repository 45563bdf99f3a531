"""SLAYER's PyTorch modules as a .net file, with SLAYER's own export; runs where lava-dl is.

`python child.py SPEC --shape 2x34x34 [--weights FILE]` writes network.net and result.json into --scratch: `blocks`, the
module path of each layer; `notices`; `problems` as [kind, layer, need, have, next]. The blocks are those that a forward
of silence calls, in that order.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != HERE]
sys.path.insert(0, str(HERE.parent))

from runtime import guard  # type: ignore[import-not-found]  # noqa: E402

SPEC = re.compile(r"(.+?):([^\W\d]\w*\s*(?:\(.*)?)", re.DOTALL)  # place:call, as of neurodeploy.frontend.spec
STEPS = 4  # of the silence that goes through the network
HELD = ("Affine", "Conv", "Dense", "Flatten", "Input", "Pool")
CUBA = "lava.lib.dl.slayer.block.cuba"
OK, FAILED, NO_LAVA = 0, 1, 3
NESTED = ("state_dict", "model_state_dict", "model", "net")  # where checkpoints keep the state


class Problem(Exception):  # noqa: N818  (becomes a finding in the process that started this one)
    """kind: "usage", "file" or "model"; layer, need, have, next: as of a finding."""

    def __init__(self, kind: str, layer: str, need: str, have: object, mend: str) -> None:
        super().__init__(have)
        self.parts = (kind, layer, need, " ".join(str(have).split())[:400], mend)


def main() -> int:
    """Export one network; the exit code: 0 with a result, good or bad; 1 failed; 3 no lava-dl."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spec")
    parser.add_argument("--shape", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--folder", required=True)
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--scratch", type=Path, required=True)
    given = parser.parse_args()
    owner = guard.Owner(given.scratch)
    result: dict[str, Any] = {"blocks": [], "notices": [], "problems": []}
    try:
        importlib.import_module("lava.lib.dl.slayer")
    except ImportError as error:
        sys.stderr.write(f"error: {error}\n")
        return NO_LAVA
    try:
        _export(given, result)
    except Problem as problem:
        result["problems"].append(problem.parts)
    finally:
        owner.end_if_gone()
    (given.scratch / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return OK


def _export(given: argparse.Namespace, result: dict[str, Any]) -> None:
    import torch

    torch.manual_seed(0)
    model = _model(given.spec, Path(given.folder))
    silence = torch.zeros(1, *map(int, given.shape.split("x")), STEPS)
    if given.weights:
        _forward(model.train(), silence)  # gives delays and norms their sizes
        _load(model, Path(given.weights))
    blocks, behind = _traced(model.eval(), silence)
    result["blocks"] = [name for name, _ in blocks]
    result["problems"] += [problem.parts for problem in _unheld(model, blocks)]
    if behind:
        result["notices"].append("what the forward computes behind its last block is left out")
    if not result["problems"]:
        _write(blocks, given.scratch / "network.net")


def _model(spec: str, folder: Path) -> Any:
    """What the factory of a name returns."""
    import torch

    place, name, arguments, options = _parsed(spec)
    module = _called(lambda: _module(place, folder), spec)
    if not hasattr(module, name):
        there = [own for own, value in vars(module).items() if callable(value) and not own.startswith("_")]
        have = f"no {name} in {place}; there: {', '.join(there) or 'nothing'}"
        raise Problem("usage", "", "a factory of that name", have, "correct the name")
    made = _called(lambda: getattr(module, name), spec)
    if not isinstance(made, torch.nn.Module):
        made = _called(lambda: made(*arguments, **options), spec)
    if not isinstance(made, torch.nn.Module):
        raise Problem("usage", "", "a torch.nn.Module", type(made).__name__, "return the network from the factory")
    return made


def _parsed(spec: str) -> tuple[str, str, list[Any], dict[str, Any]]:
    """Place, factory and arguments of `file.py:factory`, `package.module:factory(T=4)`; literals alone."""
    found = SPEC.fullmatch(spec.strip())
    place, call = found.groups() if found else ("", "")
    try:
        tree: Any = ast.parse(call, mode="eval").body
        called = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        arguments = [ast.literal_eval(value) for value in called.args]
        options = {str(key.arg): ast.literal_eval(key.value) for key in called.keywords}
        return place, vars(called.func)["id"], arguments, options
    except (SyntaxError, ValueError, TypeError, LookupError, RecursionError, MemoryError) as error:
        need = "file.py:factory or package.module:factory, arguments as literals"
        raise Problem("usage", "", need, spec, "correct the name") from error


def _module(place: str, folder: Path) -> Any:
    if not place.endswith(".py"):
        sys.path.insert(0, str(folder))
        return importlib.import_module(place)
    file = (folder / place).resolve()
    sys.path.insert(0, str(file.parent))
    found = importlib.util.spec_from_file_location(f"model_{file.stem}", file)
    if found is None or found.loader is None or not file.is_file():
        raise Problem("file", "", "a Python file", f"{file} is none", "check the path")
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


def _called(action: Any, spec: str) -> Any:
    """What the user's code gives; whatever it raises is a problem of usage."""
    try:
        return action()
    except (Problem, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001  (the user's code may raise anything, or exit)
        have = f"{spec}: {type(error).__name__}: {error}"
        raise Problem(
            "usage", "", "a factory that runs where lava-dl is", have, "call it in that Python to see all"
        ) from None


def _forward(model: Any, x: Any) -> Any:
    import torch

    try:
        with torch.no_grad():
            return model(x)
    except Exception as error:  # noqa: BLE001  (the user's code may raise anything)
        have = f"{type(error).__name__}: {error}"
        mend = "check --input-shape, [C, H, W] or [features]; call the network with zeros [1, *shape, T] to see all"
        raise Problem("usage", "", f"a forward that takes {list(x.shape)}", have, mend) from None


def _load(model: Any, file: Path) -> None:
    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  (whatever torch raises on a damaged or hostile file)
        mend = "save it with torch.save(net.state_dict(), file)"
        said = str(error).split(" Re-running")[0]  # torch goes on to advise what would run the file's code
        raise Problem("file", "", "a checkpoint of tensors", f"{file.name}: {said}", mend) from None
    for name in NESTED:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    try:
        model.load_state_dict(state)
    except Exception as error:  # noqa: BLE001  (keys, shapes, or no dictionary at all)
        mend = "check that the factory makes the network that was saved"
        raise Problem("file", "", "a checkpoint of this network", f"{file.name}: {error}", mend) from None


def _traced(model: Any, silence: Any) -> tuple[list[tuple[str, Any]], bool]:
    """The blocks in the order in which they are called, each on what the one before gave; whether something follows."""
    base = importlib.import_module("lava.lib.dl.slayer.block.base")
    kinds = tuple(kind for name, kind in vars(base).items() if name.startswith("Abstract"))
    calls: list[tuple[str, Any, Any, Any]] = []

    def hook(name: str) -> Any:
        return lambda module, given, made: calls.append((name, module, given[0], _first(made)))

    handles = [m.register_forward_hook(hook(n)) for n, m in model.named_modules() if isinstance(m, kinds)]
    result = _forward(model, silence)
    for handle in handles:
        handle.remove()
    last = silence
    for name, _, given, made in calls:
        if given is not last:
            mend = "call the blocks one after another in forward, with nothing between them"
            raise Problem("model", name, "a chain of blocks", "an input that the block before did not make", mend)
        last = made
    names = [name for name, *_ in calls]
    if not calls or len(set(names)) < len(names):
        have = "none" if not calls else "one that is called twice"
        raise Problem("model", "", "slayer blocks, each called once", have, "build it of slayer.block.cuba")
    return [(name, module) for name, module, *_ in calls], _first(result) is not last


def _first(made: Any) -> Any:
    return made[0] if isinstance(made, (tuple, list)) and made else made


def _unheld(model: Any, blocks: list[tuple[str, Any]]) -> Iterator[Problem]:
    """Blocks that no .net file holds as SLAYER runs them, and parameters that are in no block."""
    mend = f"use slayer.block.cuba with {', '.join(HELD)}"
    for name, block in blocks:
        kind = type(block)
        known = next((k for k in kind.__mro__ if k.__module__ == CUBA and k.__name__ in HELD), None)
        if known is None:
            origin = next((k for k in kind.__mro__ if k.__module__.startswith("lava.lib.dl.slayer.block")), kind)
            yield Problem("model", name, "a CUBA block", f"{origin.__module__}.{origin.__name__}", mend)
    held = {id(p) for _, block in blocks for p in block.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in held:
            yield Problem("model", name, "parameters of slayer blocks alone", f"{list(parameter.shape)} outside", mend)


def _write(blocks: list[tuple[str, Any]], file: Path) -> None:
    import h5py

    with h5py.File(file, "w") as handle:
        layers = handle.create_group("layer")
        for place, (name, block) in enumerate(blocks):
            _export_block(name, block, layers.create_group(str(place)))


def _export_block(name: str, block: Any, group: Any) -> None:
    try:
        block.export_hdf5(group)
    except Exception as error:  # noqa: BLE001  (whatever SLAYER's export raises)
        have = f"export_hdf5: {type(error).__name__}: {error}"
        raise Problem("model", name, "a block that SLAYER exports", have, "see lava-dl") from None


if __name__ == "__main__":
    sys.exit(main())
