"""Stand-ins: published files load with nothing of theirs installed, compute the same, and leave nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import neuron as real

from neurodeploy.errors import UsageError
from neurodeploy.frontend import load_model, run_float, trace
from neurodeploy.frontend.neurons import read
from neurodeploy.frontend.standins import NAMES, standins
from neurodeploy.ir.text import to_text
from tests.frontend.published import FILE
from tests.frontend.small import lively

EXAMPLE = torch.zeros(1, 1, 8, 8)
OLD = "spikingjelly.clock_driven.neuron"


class Hidden:
    """Finds everything that is installed but the packages that have stand-ins."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return None if path is None and name in NAMES else PathFinder.find_spec(name, path, target)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(FILE, encoding="utf-8")
    return tmp_path / "model.py"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment with none of the packages."""
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        monkeypatch.delitem(sys.modules, name)
    finders = [Hidden if finder is PathFinder else finder for finder in sys.meta_path]
    monkeypatch.setattr(sys, "meta_path", finders)


def left() -> list[str]:
    """Stand-ins that are still there: by name, by the finder, or inside an installed package."""
    names = [name for name in sys.modules if name.partition(".")[0] in ("timm", "einops") or "clock_driven" in name]
    finders = [str(finder) for finder in sys.meta_path if getattr(finder, "__module__", "") == standins.__module__]
    return names + finders + ["attribute"] * hasattr(sys.modules.get("spikingjelly"), "clock_driven")


@pytest.mark.parametrize("factory", ["former", "by_name", "sized(8, classes=5)"])
def test_a_published_file_loads_where_nothing_is_installed(
    bare: None, published: Path, factory: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_model(f"{published}:{factory}")
    (said,) = caplog.messages
    assert said.endswith("not installed, neurodeploy's stand-ins were taken: einops, spikingjelly, timm")
    assert not left()
    assert "spikingjelly" not in sys.modules
    assert type(model.lif1).__module__ == OLD
    graph = trace(model, EXAMPLE)
    assert len(graph.of("neuron")) == 7
    assert graph.steps == {"former": 4, "by_name": 2, "sized(8, classes=5)": 1}[factory]


def test_the_installed_spikingjelly_lends_what_it_has(published: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = sys.modules["spikingjelly"]
    load_model(f"{published}:former")
    assert "spikingjelly.clock_driven" in caplog.messages[0]
    assert not left()
    assert sys.modules["spikingjelly"] is kept
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(OLD)


def test_the_graph_is_the_same_whatever_is_installed(published: Path, request: pytest.FixtureRequest) -> None:
    torch.manual_seed(0)
    here = to_text(trace(load_model(f"{published}:former"), EXAMPLE))
    request.getfixturevalue("bare")
    torch.manual_seed(0)
    assert to_text(trace(load_model(f"{published}:former"), EXAMPLE)) == here


@pytest.mark.parametrize("line", ["raise SystemExit(1)", "import no_such_package", "1 / 0"])
def test_nothing_is_left_after_an_error(published: Path, line: str) -> None:
    published.write_text(f"{FILE}\n{line}\n", encoding="utf-8")
    with pytest.raises(UsageError):
        load_model(f"{published}:former")
    assert not left()


def test_what_a_file_puts_in_the_place_of_a_module_hides_no_error(
    bare: None, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("timm", "einops"):
        monkeypatch.setitem(sys.modules, name, None)  # put back in the end
        del sys.modules[name]
    odd = "import sys, timm\nsys.modules['timm'], sys.modules['einops'] = None, object()\nraise ValueError('mine')"
    published.write_text(f"{FILE}\n{odd}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="ValueError: mine"):
        load_model(f"{published}:former")
    assert set(left()) == {"timm", "einops"}  # its own doing


def test_threads_share_the_stand_ins(bare: None, published: Path) -> None:
    """One that ends leaves them to the other; a factory may wait for a thread that loads a model."""
    slow = published.with_name("slow.py")
    slow.write_text(
        f"{FILE}\nimport time\ntime.sleep(0.2)\nimport timm.layers, einops.layers.torch\n", encoding="utf-8"
    )
    waiting = f"""
from concurrent.futures import ThreadPoolExecutor
from neurodeploy.frontend import load_model
def former():
    with ThreadPoolExecutor(3) as pool:
        return [*pool.map(load_model, ["{slow}:former", "{published}:former", "{slow}:former"])][0]
"""
    outer = published.with_name("outer.py")
    outer.write_text(waiting, encoding="utf-8")
    assert isinstance(load_model(f"{outer}:former"), torch.nn.Module)
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(load_model, f"{file}:former") for file in (published, slow)]
        assert all(isinstance(one.result(), torch.nn.Module) for one in done)
    assert not left()


def test_one_inside_another_and_one_after_another(published: Path) -> None:
    with standins():
        with standins():
            importlib.import_module(OLD)
        assert OLD in sys.modules
        importlib.import_module("timm.layers")
    assert not left()
    first, second = (load_model(f"{published}:former") for _ in range(2))
    assert type(first).__module__ == type(second).__module__
    assert not left()


def test_installed_packages_come_first(tmp_path: Path, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is there stays the one that is used, and stays loaded."""
    layers = tmp_path / "site" / "einops" / "layers"
    layers.mkdir(parents=True)
    (layers.parent / "__init__.py").touch()
    (layers / "__init__.py").touch()
    (layers / "torch.py").write_text("class Rearrange: installed = True\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "site")
    load_model(f"{published}:former")
    loaded = [name for name in sys.modules if name.partition(".")[0] == "einops"]
    try:
        assert sys.modules["einops.layers.torch"].Rearrange.installed
        assert len(loaded) == 3
    finally:
        for name in loaded:
            del sys.modules[name]


OLD_NEURON = """
from torch import nn
def check_backend(backend):
    assert backend == "torch", "CuPy is not installed!"
class LIFNode(nn.Module):
    def __init__(self, tau=2.0):
        super().__init__()
        self.tau, self.v_threshold, self.v_reset, self.decay_input = tau, 1.0, 0.0, True
class MultiStepLIFNode(LIFNode):
    def __init__(self, tau=2.0, v_threshold=1.0, detach_reset=False, backend="torch"):
        super().__init__(tau)
        check_backend(backend)
        self.backend = backend
"""


def test_an_old_spikingjelly_builds_without_cupy(bare: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed ones assert that CuPy is there; for the while of the loading they do not."""
    folder = tmp_path / "old" / "spikingjelly" / "clock_driven"
    folder.mkdir(parents=True)
    for package in (folder.parent, folder):
        (package / "__init__.py").touch()
    (folder / "neuron.py").write_text(OLD_NEURON, encoding="utf-8")
    (tmp_path / "model.py").write_text(
        f"from {OLD} import MultiStepLIFNode\ndef net(): return MultiStepLIFNode(tau=3.0, backend='cupy')\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path / "old")
    monkeypatch.setattr(sys, "meta_path", [f if f is not Hidden else PathFinder for f in sys.meta_path])
    node = load_model(f"{tmp_path / 'model.py'}:net")
    installed = sys.modules[OLD]
    for name in [name for name in sys.modules if name.partition(".")[0] == "spikingjelly"]:
        del sys.modules[name]
    assert (node.tau, node.backend) == (3.0, "torch")
    assert type(node) is installed.MultiStepLIFNode
    with pytest.raises(AssertionError, match="CuPy"):
        type(node)(backend="cupy")


def test_new_neurons_take_a_backend_that_they_no_longer_know(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text(
        "from spikingjelly.activation_based.neuron import LIFNode, ParametricLIFNode\nfrom torch import nn\n"
        "def net():\n"
        "    first = LIFNode(tau=4.0, step_mode='m', backend='cupy')\n"
        "    return nn.Sequential(first, ParametricLIFNode(backend='cupy', step_mode='m'))\n",
        encoding="utf-8",
    )
    found = load_model(f"{tmp_path / 'new.py'}:net")
    assert type(found[0]) is real.LIFNode
    assert (found[0].tau, found[1].step_mode) == (4.0, "m")
    with pytest.raises(TypeError, match="backend"):
        real.LIFNode(backend="cupy")


@pytest.fixture
def old() -> Iterator[Any]:
    """The stand-in of the old module of neurons."""
    with standins():
        yield importlib.import_module(OLD)


NEURONS = [
    ("IFNode", {}),
    ("IFNode", {"v_reset": None}),
    *(
        ("LIFNode", {"tau": tau, "decay_input": scaled, "v_reset": reset, "v_threshold": 0.7})
        for tau, scaled in ((2.0, True), (3.7, True), (3.7, False))
        for reset in (0.0, -0.3, None)
    ),
    ("ParametricLIFNode", {"init_tau": 2.0}),
    ("ParametricLIFNode", {"init_tau": 3.1, "decay_input": False}),
    ("ParametricLIFNode", {"init_tau": 3.1, "decay_input": False, "v_reset": 0.2}),
]


@pytest.mark.parametrize(("name", "options"), NEURONS)
def test_neurons_compute_what_spikingjellys_do(old: Any, name: str, options: dict[str, Any]) -> None:
    """From call to call and after a reset; SpikingJelly 2.0 writes some sums in another order than 0.0.0.0.12 did."""
    ours = getattr(old, f"MultiStep{name}")(detach_reset=True, backend="cupy", **options).double()
    theirs = getattr(real, name)(detach_reset=True, step_mode="m", **options).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for reset in (False, False, True):
            if reset:
                ours.reset()
                theirs.reset()
            x = torch.randn(6, 3, 50, generator=generator, dtype=torch.float64) + 0.6
            spikes = ours(x)
            assert torch.equal(spikes, theirs(x))
            assert torch.allclose(ours.v, theirs.v, rtol=1e-12, atol=1e-15)
            assert 0.02 < float(spikes.mean()) < 0.98
            assert torch.equal(getattr(old, name)(**options)(x[0]), getattr(real, name)(**options)(x[0]))


@pytest.mark.parametrize(("name", "options"), NEURONS)
def test_neurons_are_read_as_spikingjellys_are(old: Any, name: str, options: dict[str, Any]) -> None:
    parent = torch.nn.Module()
    ours, theirs = getattr(old, f"MultiStep{name}")(**options), getattr(real, name)(step_mode="m", **options)
    found, wanted = (read("lif", module, parent) for module in (ours, theirs))
    assert found.neuron == wanted.neuron
    assert [f.need for f in found.findings] == [f.need for f in wanted.findings]


def test_float_runs_of_a_published_file(bare: None, published: Path) -> None:
    """At rest before each batch: a second run gives the same, and a sample alone what it gives among others."""
    model = lively(load_model(f"{published}:former"))
    data = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(2)).numpy() * 2
    logits = run_float(model, data)
    assert (logits == run_float(model, data)).all()
    assert (logits[3:4] == run_float(model, data[3:4])).all()
    mixed = run_float(model, data, 5, as_written=True)
    assert (mixed == run_float(model, data, 5, as_written=True)).all()
    assert (mixed != logits).any()


def test_helpers_of_timm(bare: None) -> None:
    with standins():
        layers, models = importlib.import_module("timm.models.layers"), importlib.import_module("timm.models")
        assert (layers.to_2tuple(3), layers.to_2tuple([4, 5])) == ((3, 3), (4, 5))
        x = torch.ones(1000, 2)
        assert layers.DropPath(0.5).eval()(x) is x
        dropped = layers.DropPath(0.25)(x)
        assert set(dropped.flatten().tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
        assert 0.65 < float((dropped > 0).float().mean()) < 0.85
        with pytest.raises(RuntimeError, match="resnet18"):
            models.create_model("resnet18")


def test_containers_of_clock_driven(old: Any) -> None:
    layer = importlib.import_module("spikingjelly.clock_driven.layer")
    x = torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(0))
    linear = torch.nn.Linear(3, 5)
    assert torch.equal(layer.SeqToANNContainer(linear)(x), linear(x.flatten(0, 1)).view(4, 2, 5))
    assert torch.equal(layer.MultiStepContainer(old.IFNode())(x), old.MultiStepIFNode()(x))


@pytest.mark.parametrize(
    ("text", "line", "mend"),
    [
        (
            "from einops.layers.torch import Rearrange\ndef f():\n    return Rearrange('b c -> c b')",
            3,
            "install einops",
        ),
        ("from timm.models.layers import PatchEmbed", 1, "install timm"),
        (f"from {OLD} import MultiStepEIFNode", 1, "MultiStepParametricLIFNode"),
    ],
)
def test_what_the_stand_ins_lack_is_said(bare: None, tmp_path: Path, text: str, line: int, mend: str) -> None:
    (tmp_path / "asks.py").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_model(f"{tmp_path / 'asks.py'}:f")
    (finding,) = caught.value.findings
    assert finding.source.endswith(f"asks.py:{line}")
    assert mend in finding.next


UNFIT_MODEL = """
from torch import nn
from torchvision._internally_replaced_utils import load_state_dict_from_url
from spikingjelly.activation_based import neuron


def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), neuron.LIFNode(step_mode="m"))
"""


def test_a_torchvision_of_another_torch_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator nms does not exist')")
    (tmp_path / "unfit.py").write_text(UNFIT_MODEL)
    assert len(load_model(f"{tmp_path}/unfit.py:net")) == 2
    assert "torchvision does not fit this torch (RuntimeError: operator nms does not exist)" in caplog.text
    assert "torchvision" not in sys.modules


def test_an_error_of_the_model_itself_is_not_blamed_on_torchvision(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("raise RuntimeError('mine')")
    with pytest.raises(UsageError, match=r"RuntimeError: mine[\s\S]*wrong\.py:1|wrong\.py:1[\s\S]*RuntimeError: mine"):
        load_model(f"{tmp_path}/wrong.py:net")
