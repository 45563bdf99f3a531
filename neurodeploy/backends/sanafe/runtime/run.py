"""Run this network in SANA-FE: python run.py --input images.npy --output out.npz

Needs Python 3.10 or later, NumPy and sanafe (2.2); neurodeploy is not needed. SANA-FE computes neurons, synapses,
delays, messages, energy and time. Its spikes carry no payload, so this program, step by step, adds to the bias of a
neuron what payloads beyond 1 bring it, and clears membranes when a sample begins.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Plain = dict[str, Any]
RESULTS = ("sim_time", "spikes", "packets_sent", "neurons_updated", "neurons_fired")  # of SANA-FE, summed over steps
SENDS: Mapping[str, Callable[[list[Int64]], Int64]] = {  # what a neuron sends, of the sums at its ports
    "sum": lambda ports: ports[0],
    "relu": lambda ports: np.maximum(ports[0], 0),
    "product": lambda ports: ports[0] * ports[1],
}


class Network:
    """The exported network: populations, crossbars, and the synapses of those the host has a part in."""

    def __init__(self, folder: Path) -> None:
        self.plain: Plain = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        with np.load(folder / "network.npz") as arrays:
            self.arrays = {key: arrays[key] for key in arrays.files}
        self.populations: list[Plain] = self.plain["populations"]
        self.size = {p["name"]: int(np.prod(p["shape"])) for p in self.populations}
        self.images = ""  # a digest of those that run
        self.inputs: dict[str, list[Plain]] = {p["name"]: [] for p in self.populations}
        for crossbar in self.plain["crossbars"]:
            self.inputs[crossbar["target"]].append(crossbar)

    def deliver(self, crossbar: Plain, payload: Int64) -> Int64:
        """What a crossbar brings each neuron of its target. Sums stay below 2^53, so doubles hold them exactly."""
        size = self.size[crossbar["target"]]
        if not payload.any():
            return np.zeros(size, np.int64)
        rows, cols, weights = (self.arrays[f"{crossbar['key']}.{part}"] for part in ("rows", "cols", "weights"))
        brought = weights * payload[cols] >> crossbar["shift"]
        return np.rint(np.bincount(rows, brought.astype(np.float64), size)).astype(np.int64)

    def codes(self, images: NDArray[Any]) -> Int64:
        """The source's payloads [N * T, pixels]: pixels stay for T steps, event frames bring their own."""
        code, steps = self.plain["encoding"], self.plain["steps"]
        codes = np.clip(np.rint(images.astype(np.float32) / np.float32(code["step"])), code["lo"], code["hi"])
        self.images = hashlib.sha256(codes.astype("<i8").tobytes()).hexdigest()
        frames = codes.astype(np.int64).reshape(len(codes) * (steps if code["events"] else 1), -1)
        return frames if code["events"] else np.repeat(frames, steps, axis=0)


class Host:
    """Payloads of all neurons in the steps before, and the biases that SANA-FE's neurons have."""

    def __init__(self, network: Network, codes: Int64, groups: Mapping[str, Any]) -> None:
        self.network, self.codes, self.groups = network, codes, groups
        self.keep = 2 + max((c["delay"] for c in network.plain["crossbars"]), default=0)
        self.sent = {name: [np.zeros(size, np.int64)] * self.keep for name, size in network.size.items()}
        self.base = {p["name"]: network.arrays[f"{p['group']}.bias"] for p in network.populations}
        self.bias = {name: bias.copy() for name, bias in self.base.items()}
        self.payload: dict[str, Int64] = {}
        self.corrected = Counter[str]()
        self.neurons = Counter[str]()
        self.measure = False

    def before(self, now: int) -> None:
        """Compute what neurons with payloads will send in this step, and set all biases."""
        for population in self.network.populations:
            name = population["name"]
            if population["kind"] == "lif":
                if population["resets"] and (now - population["depth"]) % self.network.plain["steps"] == 0:
                    for neuron in self.groups[population["group"]]:
                        neuron.set_attributes(model_attributes={"potential": 0.0})
                self._set(population, self.base[name] + 64 * self._beyond(name))
            else:
                self._set(population, 64 * self._forced(population, now))

    def after(self, fired: Mapping[str, Int64]) -> None:
        """Take in who fired. Raises RuntimeError where SANA-FE and the payloads disagree."""
        for population in self.network.populations:
            name, spikes = population["name"], fired[population["group"]]
            sends = self.payload.get(name, spikes)
            if not np.array_equal(sends != 0, spikes != 0):
                raise RuntimeError(f"{name}: {int(np.sum((sends != 0) != (spikes != 0)))} neurons fired otherwise")
            self.sent[name] = [*self.sent[name][1:], sends]

    def _beyond(self, name: str) -> Int64:
        """What SANA-FE's spikes do not bring: payloads beyond 1, and crossbars whose delay it does not have."""
        total = np.zeros(self.network.size[name], np.int64)
        for crossbar in self.network.inputs[name]:
            if crossbar["carried"] and crossbar["binary"]:
                continue
            payload = self.sent[crossbar["source"]][-1 - crossbar["delay"]]
            total += self.network.deliver(crossbar, payload - (payload != 0) * crossbar["carried"])
        return total

    def _forced(self, population: Plain, now: int) -> Int64:
        """The bias with which a neuron fires just where its payload is not 0."""
        name, kind = population["name"], population["kind"]
        if kind == "source":
            self.payload[name] = self.codes[now % len(self.codes)]  # the samples over again keep the pipeline full
            return np.asarray(self.payload[name] != 0, np.int64)
        ports: dict[str, Int64] = {}
        for crossbar in self.network.inputs[name]:
            brought = self.network.deliver(crossbar, self.sent[crossbar["source"]][-1 - crossbar["delay"]])
            ports[crossbar["port"]] = ports.get(crossbar["port"], 0) + brought
        empty = np.zeros(self.network.size[name], np.int64)
        sums = [ports[port] for port in sorted(ports)] or [empty]
        self.payload[name] = sends = SENDS[kind](sums)
        beyond, total = self._beyond(name), np.asarray(np.sum(sums, axis=0))
        wanted = np.where(sends != 0, 1, 0)
        wrong = (total > 0) != (wanted > 0)  # of its own, a neuron fires where all that it gets is positive
        return np.asarray(np.where(wrong, beyond - total + wanted, beyond))

    def _set(self, population: Plain, bias: Int64) -> None:
        """bias: in membrane units, 1/64 of a weight's."""
        name, group = population["name"], self.groups[population["group"]]
        for i in np.flatnonzero(bias != self.bias[name]).tolist():
            group[i].set_attributes(model_attributes={"bias": float(bias[i]) / 64})
        self.bias[name] = bias
        if self.measure:
            self.corrected[population["kind"]] += int(np.count_nonzero(bias != self.base[name]))
            self.neurons[population["kind"]] += len(bias)


class Simulator:
    """SANA-FE, one time step at a time."""

    def __init__(self, folder: Path, network: Network) -> None:
        try:
            sanafe = importlib.import_module("sanafe")
        except ImportError as error:
            raise SystemExit(f"error: {error}: {sys.executable} -m pip install sanafe") from None
        with quiet():
            arch = sanafe.load_arch(str(folder / "arch.yaml"))
            self.chip = sanafe.SpikingChip(arch)
            self.chip.load(sanafe.load_net(str(folder / "network.yaml"), arch))
        self.groups: Mapping[str, Any] = dict(self.chip.mapped_neuron_groups)
        self.sizes = {p["group"]: network.size[p["name"]] for p in network.populations}
        self.results = Counter[str]()
        self.longest = 0.0

    def step(self, measure: bool) -> dict[str, Int64]:
        """Who fired: 0 or 1 a neuron, by group."""
        with quiet():
            found = self.chip.sim(1, spike_trace=True)
        fired = {group: np.zeros(size, np.int64) for group, size in self.sizes.items()}
        for spike in found["spike_trace"][0]:
            fired[spike.group_name][spike.neuron_offset] = 1
        if measure:
            self.results.update({key: found[key] for key in RESULTS})
            self.results.update({f"energy.{key}": value for key, value in found["energy"].items()})
            self.longest = max(self.longest, found["sim_time"])
        return fired


@contextlib.contextmanager
def quiet() -> Any:
    """Keep what SANA-FE prints for each step from the terminal."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def run(folder: Path, images: NDArray[Any]) -> tuple[dict[str, NDArray[Any]], Plain]:
    """Logits and spikes of images [N, ...], and the document of SANA-FE's figures.

    Figures are of the last N * T steps: the pipeline is full, and every population works through every sample once.
    """
    network = Network(folder)
    codes, simulator = network.codes(images), Simulator(folder, network)
    host = Host(network, codes, simulator.groups)
    depths = {p["name"]: p["depth"] for p in network.populations}
    filled = max(depths.values())
    kept = {name: np.zeros((len(codes), size), np.int32) for name, size in network.size.items()}
    for now in range(filled + len(codes)):
        host.measure = now >= filled
        host.before(now)
        host.after(simulator.step(host.measure))
        for name, steps in kept.items():
            if 0 <= now - depths[name] < len(codes):
                steps[now - depths[name]] = host.sent[name][-1]
    return outputs(network, kept), document(network, simulator, host, len(images))


def outputs(network: Network, kept: Mapping[str, NDArray[np.int32]]) -> dict[str, NDArray[Any]]:
    """logits [N, classes]; spikes/<value> [N, T, *shape of the population] of the layers."""
    steps, output = network.plain["steps"], network.plain["output"]
    counts = kept[output].astype(np.int64)
    found: dict[str, NDArray[Any]] = {
        "logits": counts.reshape(-1, steps, counts.shape[1]).sum(axis=1) + network.arrays["output_bias"]
    }
    for population in network.populations:
        if population["kind"] == "lif":
            shape = (-1, steps, *population["shape"])
            found[f"spikes/{population['name']}"] = kept[population["name"]].reshape(shape).astype(np.uint8)
    return found


def document(network: Network, simulator: Simulator, host: Host, samples: int) -> Plain:
    """sanafe.json: figures with unit, status, source, and what the host did."""
    found, costs = simulator.results, network.plain["costs"]
    total = samples * network.plain["steps"]
    parts = {"synapses": "synapse", "neurons": "soma", "messages": "network", "energy a sample": "total"}
    wanted = {"synapse": ("energy_process",), "soma": ("energy_access", "energy_spike"), "network": ("energy_",)}
    energy = []
    for name, key in parts.items():
        used = [c for c in costs if c["name"].startswith(wanted.get(key, ("energy_",)))]
        if key == "network":
            used = [c for c in used if "hop" in c["name"] or "message" in c["name"]]
        energy.append(figure(name, found[f"energy.{key}"] * 1e6 / samples, "uJ", used))
    times = [c for c in costs if c["name"].startswith("latency_")]
    return {
        "schema": "neurodeploy.sanafe",
        "version": 1,
        "name": network.plain["name"],
        "target": network.plain["target"],
        "simulator": f"sanafe {version('sanafe')}",
        "samples": samples,
        "steps": total,
        "identity": {**network.plain["identity"], "images": network.images},
        "figures": [
            *energy,
            figure("time a step, mean", found["sim_time"] * 1e9 / total, "ns", times),
            figure("time a step, longest", simulator.longest * 1e9, "ns", times),
            figure("time a sample", found["sim_time"] * 1e3 / samples, "ms", times),
            figure("synaptic events", found["spikes"] / samples, "event/sample", []),
            figure("messages sent", found["packets_sent"] / samples, "message/sample", []),
            figure("neurons that send", found["neurons_fired"] / samples, "neuron/sample", []),
        ],
        "host": {
            "what": "neurons times steps whose bias the host changed, of all, by kind",
            "changed": dict(host.corrected),
            "of": dict(host.neurons),
        },
    }


def figure(name: str, value: float, unit: str, costs: list[Plain]) -> Plain:
    """One figure; None where a constant in it is absent, with what 0 in its place gives beside it."""
    absent = sorted({key for cost in costs for key in cost["absent"]})
    constants = sorted({key for cost in costs for key in cost["keys"]})
    ranks = ("counted", "datasheet", "measured", "paper", "assumed", "absent")
    status = max((cost["status"] for cost in costs), key=ranks.index, default="counted")
    source = f"SANA-FE's simulation of these samples, the pipeline full; {', '.join(constants) or 'no constant'}"
    held = {"name": name, "value": None if absent else value, "unit": unit, "status": status}
    return {**held, "source": source, "basis": "measured", "absent": absent, "absent_as_zero": value}


def main(folder: Path) -> int:
    """Run images and write what came out."""
    parser = argparse.ArgumentParser(description="Run this network in SANA-FE.")
    parser.add_argument("--input", required=True, type=Path, help="images.npy [N, ...] as the trained model takes them")
    parser.add_argument("--output", required=True, type=Path, help="out.npz: logits, and spikes of the layers")
    parser.add_argument("--figures", type=Path, default=None, help="sanafe.json, beside the output if not given")
    chosen = parser.parse_args()
    arrays, figures = run(folder, np.load(chosen.input, allow_pickle=False))
    with chosen.output.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    path = chosen.figures or chosen.output.with_name("sanafe.json")
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
