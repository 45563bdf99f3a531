"""numerics.lif_step and cuba_step against the stock bit-accurate LIF models, over the whole of the proven widths."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.numerics import LOIHI_LAVA, cuba_step, lif_step

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
    for case, (vth, dv, exp, du, most) in enumerate(data["cases"].tolist()):
        model, shape = cls(params), data["a"].shape[1:]
        model.u, model.v = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        model.du, model.dv, model.vth = du - 1, dv, vth
        model.bias_mant = data["mant"].astype(np.int16)
        model.bias_exp = np.full(shape, exp, np.int16)
        model.a_in, model.s_out = Port(), Port()
        spikes, membranes = [], []
        for step, a in enumerate(data["a"]):
            model.time_step = step + 1
            model.a_in.value = np.clip(a, -most, most).astype(np.int32)
            model.run_spk()
            spikes.append(model.s_out.value.copy())
            membranes.append(model.v.copy())
        out[f"{kind}.{case}.s"], out[f"{kind}.{case}.v"] = np.array(spikes), np.array(membranes)
np.savez(sys.argv[2], **out)
"""
TOP, STEPS = LOIHI_LAVA.activation_max, 40
CASES = [(vth, dv, exp, 4096, TOP) for vth in (0, 63, 131071) for dv in (0, 1, 2047, 2048, 4095) for exp in (0, 7)]
# A current that lasts: |u| <= 2^23 - 1 whatever comes, which the interval proof asks for.
CASES += [(vth, dv, 3, du, TOP * du // 4096) for vth in (0, 63) for dv in (0, 2048) for du in (205, 1024, 2049, 4095)]
CASES += [(63, 2048, 0, 1, TOP // STEPS)]


@pytest.mark.lava
def test_lif_step_equals_the_stock_models(lava_python: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(-TOP, TOP + 1, (STEPS, 300))
    a[:, :60] = rng.choice([-TOP, TOP], (STEPS, 60))  # against both ends of the membrane's range
    a[:, 60:150] = rng.integers(-130, 131, (STEPS, 90))
    a[:, 150:200] = rng.integers(-2, 3, (STEPS, 50))
    mant = rng.integers(-4096, 4096, 300)
    mant[::3] = rng.choice([-4096, -1, 0, 1, 4095], 100)
    np.savez(tmp_path / "in.npz", a=a, mant=mant, cases=np.array(CASES))
    command = [str(lava_python), "-c", SCRIPT, str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=300)
    with np.load(tmp_path / "out.npz") as stock:
        for case, (vth, dv, exp, du, most) in enumerate(CASES):
            for kind in ("lif", "reset"):
                u = v = np.zeros(300, np.int64)
                for step in range(len(a)):
                    if kind == "reset" and (step + 1) % 5 == 3:
                        u = v = np.zeros(300, np.int64)
                    given, bias = np.clip(a[step], -most, most), mant << exp
                    s, (u, after) = cuba_step(given, (u, v), bias, vth, (du, dv))
                    if du == 4096:
                        np.testing.assert_array_equal(after, lif_step(given, v, bias, vth, dv)[1])
                    v = after
                    assert np.abs(u).max() <= LOIHI_LAVA.state_max
                    np.testing.assert_array_equal(s, stock[f"{kind}.{case}.s"][step])
                    np.testing.assert_array_equal(v, stock[f"{kind}.{case}.v"][step])
