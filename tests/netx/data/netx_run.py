"""What netx computes: `python netx_run.py FILE.net frames.npy out.npz BITS`; runs where lava-dl is.

frames: [N, T, C, H, W] or [N, T, features], integers, one sample behind the other. out: spikes and membranes of layer
i as s{i}, v{i}, [N, T, ...], channels first. Layer i computes step t of sample s in time step s * T + t + i + 2.
"""

from __future__ import annotations

import sys

import numpy as np
from lava.lib.dl import netx
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io import sink, source


def main(file: str, frames: str, out: str, bits: str) -> None:
    """Run all samples in Lava's own runtime, a time step at a time."""
    x = np.load(frames)
    samples, steps = x.shape[:2]
    data = np.moveaxis(x.reshape(samples * steps, *x.shape[2:]), 0, -1).astype(int)
    data = data.transpose(2, 1, 0, 3) if data.ndim == 4 else data
    net = netx.hdf5.Network(
        file, reset_interval=steps, reset_offset=1, input_message_bits=int(bits), input_shape=data.shape[:-1]
    )
    depth, total = len(net.layers), samples * steps + len(net.layers)
    feed = source.RingBuffer(data=np.concatenate([data, np.zeros((*data.shape[:-1], depth), int)], -1))
    feed.s_out.connect(net.inp)
    sinks = [sink.RingBuffer(shape=layer.out.shape, buffer=total) for layer in net.layers]
    for layer, end in zip(net.layers, sinks):  # noqa: B905
        layer.out.connect(end.a_in)
    membranes: list[list[np.ndarray]] = [[] for _ in sinks]
    try:
        for _ in range(total):
            net.run(condition=RunSteps(1), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
            for kept, layer in zip(membranes, net.layers):  # noqa: B905
                kept.append(np.array(layer.neuron.v.get()))
        found = {}
        for i, end in enumerate(sinks):
            spikes = np.moveaxis(end.data.get(), -1, 0)
            found[f"s{i}"] = cut(spikes, i, samples, steps).astype(np.uint8)
            found[f"v{i}"] = cut(np.array(membranes[i]), i, samples, steps).astype(np.int32)
    finally:
        net.stop()
    np.savez_compressed(out, **found)


def cut(values: np.ndarray, layer: int, samples: int, steps: int) -> np.ndarray:
    """[N, T, ...] of what a layer did, step after step."""
    kept = values[layer + 1 : layer + 1 + samples * steps]
    kept = kept.transpose(0, 3, 2, 1) if kept.ndim == 4 else kept
    return kept.reshape(samples, steps, *kept.shape[1:])


if __name__ == "__main__":
    main(*sys.argv[1:])
