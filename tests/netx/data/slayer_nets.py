"""Small networks of SLAYER, and the files beside this one: `python slayer_nets.py`; runs where lava-dl is.

Each file is written by SLAYER's own export_hdf5. The .npz beside holds frames and what netx made of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from lava.lib.dl import slayer

HERE = Path(__file__).parent
SHAPE, STEPS, SAMPLES = (2, 6, 6), 10, 4
SILENCE = 26
NEURON = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.1, "tau_grad": 0.03, "scale_grad": 3}
KINDS = ("conv", "norm", "pool", "delay")


class Network(torch.nn.Module):
    """Conv, conv, flatten, dense: weight norm, and by kind a norm (bias), a pooling, or axonal delays."""

    def __init__(self, kind: str = "conv", seed: int = 1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        block, norm = slayer.block.cuba, slayer.neuron.norm.MeanOnlyBatchNorm
        neuron = {**NEURON, "norm": norm} if kind == "norm" else NEURON
        own = {"weight_scale": 3, "weight_norm": True}
        second = block.Pool(NEURON, 2) if kind == "pool" else block.Conv(neuron, 3, 4, 3, stride=2, padding=1, **own)
        width = 27 if kind == "pool" else 36
        last = block.Dense(neuron, width, 5, weight_scale=4, weight_norm=True, delay=kind == "delay")
        first = block.Conv(neuron, 2, 3, 3, padding=1, **own)
        self.blocks = torch.nn.ModuleList([first, second, block.Flatten(), last])
        self._settle(seed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 2, 6, 6, T] -> [N, 5, T]."""
        for block in self.blocks:
            x = block(x)
        return x

    def _settle(self, seed: int) -> None:
        """Means of the norm from spikes, delays of some steps."""
        self.train()
        with torch.no_grad():
            for _ in range(5):
                self(spikes(seed))
        self.eval()
        for block in self.blocks:
            if getattr(block, "delay", None) is not None:
                block.delay.delay.data = torch.arange(5.0) + 0.3


def spikes(seed: int) -> torch.Tensor:
    """Random spikes [N, 2, 6, 6, T]."""
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(SAMPLES, *SHAPE, STEPS, generator=draw) > 0.6).float()


def write(network: Network, file: Path) -> None:
    """As SLAYER's tutorials do it."""
    with h5py.File(file, "w") as handle:
        layers = handle.create_group("layer")
        for place, block in enumerate(network.blocks):
            block.export_hdf5(layers.create_group(str(place)))


def main() -> None:
    """All files. Delays reach into the next sample of netx, so that their frames end with silence."""
    for kind in KINDS:
        frames = spikes(7).numpy().transpose(0, 4, 1, 2, 3).astype(np.uint8)
        if kind == "delay":
            frames = np.concatenate([frames[:2], np.zeros((2, SILENCE, *SHAPE), np.uint8)], 1)
        write(Network(kind), HERE / f"{kind}.net")
        recorded = {"frames": frames}
        if kind != "pool":
            np.save(HERE / "frames.npy", frames)
            command = [
                sys.executable,
                HERE / "netx_run.py",
                HERE / f"{kind}.net",
                HERE / "frames.npy",
                HERE / "out.npz",
                "0",
            ]
            subprocess.run(command, check=True)
            recorded |= dict(np.load(HERE / "out.npz"))
        with torch.no_grad():
            recorded["slayer"] = (
                Network(kind)(torch.tensor(frames.transpose(0, 2, 3, 4, 1)).float()).numpy().astype(np.uint8)
            )
        np.savez_compressed(HERE / f"{kind}.npz", **recorded)
    for name in ("frames.npy", "out.npz"):
        (HERE / name).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
