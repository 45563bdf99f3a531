"""netx of lava-dl 0.6.0 itself, in Lava's own runtime, and SLAYER's modules: not a spike and not a membrane differs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.api import CompiledModel
from neurodeploy.backends.lava import environment
from neurodeploy.errors import (
    EnvironmentMissingError,
    InvalidFileError,
    LimitExceededError,
    UnsupportedModelError,
    UsageError,
)
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.lava_dl import export_netx, load_netx, load_slayer
from neurodeploy.netx.weights import NotExecuted, dense_as_executed
from tests.netx.chains import frames_of
from tests.netx.files import DATA

pytestmark = pytest.mark.dl
NETS = f"{DATA / 'slayer_nets.py'}:Network"
SHAPE = (2, 6, 6)


@pytest.fixture(scope="session")
def dl_python() -> Path:
    """The Python that has lava-dl; without one the test is skipped."""
    try:
        return environment.find(with_dl=True).python
    except EnvironmentMissingError as error:
        pytest.skip(f"no lava-dl: {error.findings[0].next}")


def script(python: Path, name: str, *arguments: object) -> None:
    command = [str(python), "-W", "ignore", str(DATA / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment.clean_environ(python))
    assert done.returncode == 0, done.stderr[-2000:]


def in_netx(python: Path, file: Path, codes: np.ndarray[Any, Any], bits: int, folder: Path) -> Any:
    np.save(folder / "frames.npy", codes)
    script(python, "netx_run.py", file, folder / "frames.npy", folder / "out.npz", bits)
    return np.load(folder / "out.npz")


def assert_equal(deployed: CompiledModel, frames: np.ndarray[Any, Any], found: Any) -> int:
    """Every spike and membrane of every layer; the spikes that there were."""
    result = deployed.run(frames, "reference", "all")
    for place, name in enumerate(deployed.layers):
        assert (result.spikes[name] == found[f"s{place}"].reshape(result.spikes[name].shape)).all(), name
        assert (result.membrane[name] == found[f"v{place}"].reshape(result.membrane[name].shape)).all(), name
    return sum(int(spikes.sum()) for spikes in result.spikes.values())


@pytest.mark.parametrize(("kind", "samples", "silence"), [("conv", 24, 0), ("norm", 8, 0), ("delay", 4, 26)])
def test_a_file_of_slayer(kind: str, samples: int, silence: int, dl_python: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    frames = (draw.random((samples, 10 + silence, *SHAPE)) > 0.6).astype(np.float32)
    frames[:, 10:] = 0  # delays of netx reach into the next sample
    file = DATA / f"{kind}.net"
    found = in_netx(dl_python, file, frames, 0, tmp_path)
    assert assert_equal(load_netx(file, 10 + silence, input_shape=SHAPE), frames, found) > 100


WANTED: dict[str, Callable[[Graph], bool]] = {
    "image": lambda g: bool(g.of("encode")) and len(g.of("lif")) > 2,
    "events": lambda g: bool(g.of("encode_events")) and len(g.of("lif")) > 2,
    "head": lambda g: len(g.of("conv")) > len(g.of("lif")) > 1,
}


@pytest.mark.parametrize("kind", WANTED)
def test_a_network_of_ours(kind: str, dl_python: Path, tmp_path: Path) -> None:
    from tests.netx.test_round_trip import proven

    made = next(g for g in map(proven, range(99)) if not g.of("delay") and g.steps > 2 and WANTED[kind](g))
    facts = export_netx(CompiledModel(made), tmp_path / "x.net")
    images, code = frames_of(made, 12), PixelCode.of_graph(made)
    codes = code.encode(images)
    codes = codes if code.events else np.repeat(codes[:, None], made.steps, axis=1)
    found = in_netx(dl_python, tmp_path / "x.net", codes, int(facts.network[-2]), tmp_path)
    assert assert_equal(CompiledModel(made), images, found) > 100
    assert facts.shows_membrane == (kind == "head")
    if facts.shows_membrane:
        last = len(made.of("lif"))
        logits = (found[f"v{last}"][:, -1] >> 6) + facts.own.bias
        assert (logits == CompiledModel(made).run(images, "reference").logits).all() and not found[f"s{last}"].any()


def test_a_pooling_of_slayer_goes_to_netx_as_a_grouped_convolution(dl_python: Path, tmp_path: Path) -> None:
    frames = np.load(DATA / "pool.npz")["frames"]
    deployed = load_netx(DATA / "pool.net", 10, input_shape=SHAPE)
    export_netx(deployed, tmp_path / "x.net")
    assert assert_equal(deployed, frames, in_netx(dl_python, tmp_path / "x.net", frames, 0, tmp_path)) > 100


def test_weights_are_those_that_lava_executes(dl_python: Path, tmp_path: Path) -> None:
    draw, given, mine = np.random.default_rng(0), dict[str, Any](), dict[str, Any]()
    for number in range(2000):
        shape = tuple(draw.integers(1, 4, 2))
        kinds = (2 * draw.integers(-128, 128, shape), draw.integers(0, 256, shape), -draw.integers(0, 257, shape))
        weight = (*kinds, -(1 << draw.integers(0, 9, shape)) * draw.integers(0, 2, shape))[number % 4]
        spikes = draw.integers(0, 2, (shape[1], 16))
        try:
            mine[str(number)] = dense_as_executed(weight) @ spikes
        except NotExecuted:
            continue
        given |= {f"w{number}": weight, f"s{number}": spikes}
    np.savez(tmp_path / "in.npz", **given)
    script(dl_python, "weights_run.py", tmp_path / "in.npz", tmp_path / "out.npz")
    found = np.load(tmp_path / "out.npz")
    assert len(found.files) > 1500 and all((found[name] == mine[name]).all() for name in found.files)


@pytest.mark.parametrize("kind", ["norm", "delay", "pool"])
def test_modules_are_the_file_that_slayer_writes_of_them(kind: str, dl_python: Path) -> None:
    frames, steps = np.load(DATA / f"{kind}.npz")["frames"], 10
    made = load_slayer(f"{NETS}({kind!r})", steps, SHAPE)
    file = load_netx(DATA / f"{kind}.net", steps, input_shape=SHAPE, semantics="slayer")
    assert made.layers == ("blocks.0.neuron", "blocks.1.neuron", "blocks.3.neuron")
    one, two = (m.run(frames[:, :steps], "reference", "all") for m in (made, file))
    assert (one.logits == two.logits).all()
    for a, b in zip(one.membrane.values(), two.membrane.values(), strict=True):
        assert (a == b).all()


def test_a_checkpoint_is_loaded_into_the_modules(dl_python: Path, tmp_path: Path) -> None:
    save = f"import sys, torch; sys.path.insert(0, {str(DATA)!r}); from slayer_nets import Network;"
    for name, kind in (("good", "norm"), ("other", "pool")):
        text = f"{save} torch.save(Network({kind!r}, seed=5).state_dict(), {str(tmp_path / name)!r})"
        subprocess.run([str(dl_python), "-W", "ignore", "-c", text], check=True, capture_output=True)
    made, other = (
        load_slayer(f"{NETS}('norm', {seed})", 10, SHAPE, weights)
        for seed, weights in ((1, tmp_path / "good"), (5, None))
    )
    for a, b in zip(made.graph.nodes, other.graph.nodes, strict=True):
        assert all((a.tensors[key] == b.tensors[key]).all() for key in a.tensors)
    with pytest.raises(InvalidFileError, match="of this network"):
        load_slayer(f"{NETS}('norm')", 10, SHAPE, tmp_path / "other")
    with pytest.raises(InvalidFileError, match="of tensors") as caught:
        load_slayer(NETS, 10, SHAPE, DATA / "conv.npz")
    assert "weights_only" not in str(caught.value)


def test_what_is_no_chain_of_cuba_blocks_is_refused(dl_python: Path, tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "import torch\nfrom lava.lib.dl import slayer\n"
        "P = dict(threshold=1, current_decay=.5, voltage_decay=.5)\n"
        "class Sides(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.b = (slayer.block.cuba.Dense(P, 4, 4) for _ in range(2))\n"
        "    def forward(self, x): return self.b(self.a(x) + x)\n"
        "class Others(Sides):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        A = dict(P, threshold_step=.5, threshold_decay=.5, refractory_decay=.5)\n"
        "        self.b, self.extra = slayer.block.alif.Dense(A, 4, 4), torch.nn.Linear(2, 2)\n"
        "    def forward(self, x): return self.b(self.a(x))\n"
        "def on(device, sizes={}): return Plain() if device == 'cuda:0' and sizes == {'a': 1} else None\n"
        "class Plain(Sides):\n"
        "    def forward(self, x): return self.b(self.a(x))\n"
        "def broken(): raise ValueError('no')\n"
        "def hangs():\n    import time\n    time.sleep(99)\n"
    )
    place = tmp_path / "nets.py"
    named = load_slayer(f"{place}:on('cuda:0', sizes={{'a': 1}})", 4, (4,))
    assert named.layers == ("a.neuron", "b.neuron")
    with pytest.raises(UnsupportedModelError, match="chain of blocks"):
        load_slayer(f"{place}:Sides()", 4, (4,))
    with pytest.raises(UnsupportedModelError) as caught:
        load_slayer(f"{place}:Others", 4, (4,))
    assert [finding.layer for finding in caught.value.findings] == ["b", "extra.weight", "extra.bias"]
    for spec, said in ((f"{place}:broken", "ValueError: no"), (f"{place}:gone", "gone"), (f"{place}:f(x", "literals")):
        with pytest.raises(UsageError, match=said):
            load_slayer(spec, 4, (4,))
    with pytest.raises(UsageError, match="forward"):
        load_slayer(NETS, 4, (7, 7, 7))
    with pytest.raises(LimitExceededError):
        load_slayer(f"{place}:hangs", 4, (4,), timeout=6)
