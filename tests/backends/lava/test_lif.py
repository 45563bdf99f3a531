"""numerics.lif_step against the stock bit-accurate LIF models, over the whole of the proven widths."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.numerics import LOIHI_LAVA, lif_step

SCRIPT = """
import sys
import numpy as np
from lava.proc.lif.models import PyLifModelBitAcc, PyLifResetModelBitAcc

class Port:
    def recv(self):
        return self.value
    def send(self, value):
        self.value = np.asarray(value)

data = np.load(sys.argv[1])
params = {"reset_interval": 5, "reset_offset": 3}
out = {}
for kind, cls in (("lif", PyLifModelBitAcc), ("reset", PyLifResetModelBitAcc)):
    for case, (vth, dv, exp) in enumerate(data["cases"].tolist()):
        model, shape = cls(params), data["a"].shape[1:]
        model.u, model.v = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        model.du, model.dv, model.vth = 4095, dv, vth
        model.bias_mant = data["mant"].astype(np.int16)
        model.bias_exp = np.full(shape, exp, np.int16)
        model.a_in, model.s_out = Port(), Port()
        spikes, membranes = [], []
        for step, a in enumerate(data["a"]):
            model.time_step = step + 1
            model.a_in.value = a.astype(np.int32)
            model.run_spk()
            spikes.append(model.s_out.value.copy())
            membranes.append(model.v.copy())
        out[f"{kind}.{case}.s"], out[f"{kind}.{case}.v"] = np.array(spikes), np.array(membranes)
np.savez(sys.argv[2], **out)
"""
CASES = [(vth, dv, exp) for vth in (0, 63, 131071) for dv in (0, 1, 2047, 2048, 4095) for exp in (0, 7)]


@pytest.mark.lava
def test_lif_step_equals_the_stock_models(lava_python: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    top = LOIHI_LAVA.activation_max
    a = rng.integers(-top, top + 1, (40, 300))
    a[:, :60] = rng.choice([-top, top], (40, 60))  # against both ends of the membrane's range
    a[:, 60:150] = rng.integers(-130, 131, (40, 90))
    a[:, 150:200] = rng.integers(-2, 3, (40, 50))
    mant = rng.integers(-4096, 4096, 300)
    mant[::3] = rng.choice([-4096, -1, 0, 1, 4095], 100)
    np.savez(tmp_path / "in.npz", a=a, mant=mant, cases=np.array(CASES))
    command = [str(lava_python), "-c", SCRIPT, str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=300)
    with np.load(tmp_path / "out.npz") as stock:
        for case, (vth, dv, exp) in enumerate(CASES):
            for kind in ("lif", "reset"):
                v = np.zeros(300, np.int64)
                for step in range(len(a)):
                    if kind == "reset" and (step + 1) % 5 == 3:
                        v = np.zeros(300, np.int64)
                    s, v = lif_step(a[step], v, mant << exp, vth, dv)
                    np.testing.assert_array_equal(s, stock[f"{kind}.{case}.s"][step])
                    np.testing.assert_array_equal(v, stock[f"{kind}.{case}.v"][step])
