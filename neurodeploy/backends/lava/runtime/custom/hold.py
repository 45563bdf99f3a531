"""A LIF that holds its current and membrane until its turn comes.

Stock LIFs leak and fire in every time step. This one does so in one step of every `period`, that of its own phase, and
lets what arrives in the others go. It is assumed to count time steps in a state variable, as stock LIFReset does to
know when to reset.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

DECAY_BITS, SHIFT = 12, 6  # of stock LIF's bit-accurate model, as is the order of its operations
STATE_MAX = (1 << 23) - 1


class Hold(AbstractProcess):  # type: ignore[misc]
    """In each time step t = start + 1 + k * period of a neuron: decay, integrate, fire, reset; silence in the others.

    start: of each neuron, int array of the shape.  span: time steps of a sample; u and v are cleared first where
    t = start + 1 + k * span.  vth, dv, bias_mant, bias_exp: as stock LIF's; du: stock LIF's plus 1.
    """

    def __init__(self, *, shape: tuple[int, ...], start: NDArray[np.int64], period: int, span: int, **lif: Any) -> None:
        super().__init__(shape=shape, period=period, span=span)
        self.a_in, self.s_out = InPort(shape=shape), OutPort(shape=shape)
        self.start = Var(shape=shape, init=np.asarray(start, np.int32))
        self.u, self.v = Var(shape=shape, init=0), Var(shape=shape, init=0)
        self.vth, self.dv = Var(shape=(1,), init=lif["vth"]), Var(shape=(1,), init=lif["dv"])
        self.du = Var(shape=(1,), init=lif["du"])
        self.bias_mant = Var(shape=shape, init=lif["bias_mant"])
        self.bias_exp = Var(shape=(1,), init=lif["bias_exp"])


@implements(proc=Hold, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyHoldModelFixed(PyLoihiProcessModel):  # type: ignore[misc]
    """Stock LIF's integers, 24 bit: u = trunc0(u * (4096 - du) / 4096) + (a << 6),
    v = trunc0(v * (4096 - dv) / 4096) + u + bias; fires where v > vth << 6.
    """

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    start: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    u: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    v: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=17)
    dv: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=12)
    du: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=13)
    bias_mant: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=13)
    bias_exp: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=3)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.period, self.span = proc_params["period"], proc_params["span"]

    def run_spk(self) -> None:
        """One time step."""
        activation, since = self.a_in.recv(), self.time_step - 1 - self.start
        due = since % self.period == 0
        begins = since % self.span == 0
        current = _kept(np.where(begins, 0, self.u), self.du) + (activation << SHIFT)
        after = _kept(np.where(begins, 0, self.v), self.dv) + current + (self.bias_mant << self.bias_exp)
        after = np.clip(after, -STATE_MAX, STATE_MAX)
        fired = due & (after > self.vth << SHIFT)
        self.u[:] = np.where(due, current, self.u)
        self.v[:] = np.where(fired, 0, np.where(due, after, self.v))
        self.s_out.send(fired.astype(np.int32))


def _kept(state: NDArray[np.int32], decay: NDArray[np.int32]) -> NDArray[np.int64]:
    """trunc0(state * (4096 - decay) / 4096)."""
    wide = state.astype(np.int64)
    kept: NDArray[np.int64] = np.sign(wide) * (np.abs(wide) * ((1 << DECAY_BITS) - decay) >> DECAY_BITS)
    return kept
