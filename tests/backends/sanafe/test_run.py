"""Exported networks in SANA-FE: every spike of every step is that of the mapped reference."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import api
from neurodeploy.backends.reference import run_mapped
from neurodeploy.backends.sanafe.homes import Homes, homes_of
from neurodeploy.backends.sanafe.synapses import listed
from neurodeploy.exports import export_sanafe
from neurodeploy.ir.mapped import Crossbar, MappedGraph, Population
from neurodeploy.ir.passes import remove_dead
from neurodeploy.ir.pixel_code import PixelCode
from neurodeploy.ir.samples import random_graph
from neurodeploy.ir.types import BINARY, BYTE, Interval
from neurodeploy.targets import load_target
from tests.backends.lava.graphs import Builder, every_kind
from tests.backends.sanafe.networks import exported, figure, placed, run_folder, spikes_of, viewed


def pixels(graph: MappedGraph, count: int, seed: int = 0) -> np.ndarray:
    """Images whose codes are spread over the whole interval."""
    span, rng = graph.encoding.interval, np.random.default_rng(seed)
    codes = rng.integers(span.lo, span.hi + 1, (count, *graph.image_shape))
    return (codes * graph.encoding.step).astype(np.float32)


def differing(python: Path, folder: Path, graph: MappedGraph, images: np.ndarray) -> list[str]:
    """Layers whose spikes differ from the mapped reference's in any step, and "logits"."""
    found, _ = run_folder(python, folder, images)
    wanted = run_mapped(graph, images, "all")
    assert sum(int(s.sum()) for s in wanted.spikes.values())
    layers = [v for v, s in wanted.spikes.items() if not np.array_equal(spikes_of(graph, found, v), s)]
    return layers + ([] if np.array_equal(found["logits"], wanted.logits) else ["logits"])


@pytest.mark.parametrize("seed", range(3))
def test_every_kind_of_population_and_crossbar(seed: int, sanafe_python: Path, tmp_path: Path) -> None:
    graph = viewed(every_kind(seed))
    assert differing(sanafe_python, exported(graph, tmp_path / "net"), graph, pixels(graph, 3, seed)) == []


def far_and_wide(seed: int) -> MappedGraph:
    """LIFs of all decays on extreme inputs, and a delay that only the host delivers."""
    graph, b = every_kind(seed), Builder(seed)
    b.add("pixels", "source", graph.by_name["pixels"].shape, 0, interval=BYTE)
    inputs = graph.by_name["pixels"].size
    for dv in (0, 1, 37, 2048, 4094, 4095):
        name = f"lif{dv}"
        mantissa = b.rng.integers(-4096, 4096, (30,))
        b.add(name, "lif", (30,), 1, vth=300 + dv, dv=dv, bias_mant=mantissa, bias_exp=1, resets=True, value=name)
        b.connect("pixels", name, b.weights(30, inputs, low=-7, high=7, keep=0.2))
        b.connect(name, "late", b.weights(5, 30), delay=6)
    b.populations.append(Population("late", "lif", (5,), 8, BINARY, vth=9, dv=2048, resets=True, value="late"))
    b.add("out", "sum", (5,), 9, interval=Interval(-640, 635))
    b.connect("late", "out", b.weights(5, 5))
    own = {"populations": tuple(b.populations), "crossbars": tuple(b.crossbars), "output": "out", "views": {}}
    return viewed(replace(graph, **own, output_bias=np.zeros(5, np.int64)))


@pytest.mark.parametrize("seed", range(2))
def test_all_decays_and_long_delays(seed: int, sanafe_python: Path, tmp_path: Path) -> None:
    graph = far_and_wide(seed)
    assert differing(sanafe_python, exported(graph, tmp_path / "net"), graph, pixels(graph, 4, seed)) == []


@pytest.mark.parametrize("seed", range(6))
def test_random_networks_from_the_quantized_graph_on(seed: int, sanafe_python: Path, tmp_path: Path) -> None:
    """As a user has it: lowered, tiled, placed, exported."""
    deployed = api.CompiledModel(remove_dead(random_graph(seed)))
    code, shape = PixelCode.of_graph(deployed.graph), deployed.input_shape
    codes = np.random.default_rng(seed).integers(code.interval.lo, code.interval.hi + 1, (2, *shape))
    images = (codes * code.step).astype(np.float32)
    found, _ = run_folder(sanafe_python, export_sanafe(deployed, tmp_path / "net", "loihi2"), images)
    assert np.array_equal(found["logits"], deployed.run(images, "reference").logits)


def test_event_frames(sanafe_python: Path, tmp_path: Path) -> None:
    """Every step of a sample brings its own frame."""
    graph = every_kind(4)
    graph = viewed(replace(graph, encoding=replace(graph.encoding, events=True)))
    assert differing(sanafe_python, exported(graph, tmp_path / "net"), graph, pixels(graph, 2)) == []


def test_a_number_of_the_network_file_matters(sanafe_python: Path, tmp_path: Path) -> None:
    """It is SANA-FE that computes: a threshold that is raised in its file shows."""
    graph = far_and_wide(0)
    folder = exported(graph, tmp_path / "net")
    text = (folder / "network.yaml").read_text()
    (folder / "network.yaml").write_text(re.sub(r"threshold: 2348", "threshold: 2349000", text))
    assert "lif2048" in differing(sanafe_python, folder, graph, pixels(graph, 4))


def test_events_and_energy_are_those_of_the_spikes(sanafe_python: Path, tmp_path: Path) -> None:
    graph, images = far_and_wide(1), pixels(far_and_wide(1), 3)
    found, document = run_folder(sanafe_python, exported(graph, tmp_path / "net", "loihi1"), images)
    codes = graph.encoding.encode(images).reshape(len(images), 1, -1).repeat(graph.steps, axis=1)
    sent = {"pixels": codes, **{name[7:]: s.reshape(*s.shape[:2], -1) for name, s in found.items() if "/" in name}}
    sends = [p for p in graph.populations if p.name in sent]
    events = sum(fired(graph, c, sent[c.source]) for c in graph.crossbars) / len(images)
    assert figure(document, "synaptic events")["value"] == events
    homes = homes_of(graph, placed(graph), load_target("loihi1"))
    messages = sum(
        int((sent[p.name] != 0).reshape(-1, p.size).sum(axis=0) @ listeners(graph, homes, p.name)) for p in sends
    )
    assert figure(document, "messages sent")["value"] == messages / len(images)
    energy = figure(document, "synapses")
    assert energy["value"] == pytest.approx(events * 23.6e-6, rel=1e-9)
    assert energy["status"] == "paper" and energy["absent"] == []
    assert figure(document, "time a step, mean")["value"] > 465


def fired(graph: MappedGraph, crossbar: Crossbar, sent: np.ndarray) -> int:
    """Synaptic events of a crossbar: synapses of each axon that sends, weights of zero left out."""
    _, cols, _ = listed(graph, crossbar)
    fan_out = np.bincount(cols, minlength=graph.by_name[crossbar.source].size)
    return int((sent != 0).reshape(-1, len(fan_out)).sum(axis=0) @ fan_out)


def listeners(graph: MappedGraph, homes: Homes, name: str) -> np.ndarray:
    """How many cores each neuron of a population sends to."""
    pairs = set[tuple[int, ...]]()
    for crossbar in graph.crossbars:
        if crossbar.source == name:
            rows, cols, _ = listed(graph, crossbar)
            pairs |= set(map(tuple, np.column_stack([cols, homes.at[crossbar.target][rows, :2]]).tolist()))
    return np.bincount([neuron for neuron, *_ in pairs], minlength=graph.by_name[name].size)


def test_unknown_costs_give_no_figure(sanafe_python: Path, tmp_path: Path) -> None:
    graph = far_and_wide(0)
    _, document = run_folder(sanafe_python, exported(graph, tmp_path / "net"), pixels(graph, 1))
    energy = figure(document, "energy a sample")
    assert energy["value"] is None and energy["status"] == "absent" and "energy.synapse" in energy["absent"]
    assert figure(document, "synaptic events")["value"] > 0
