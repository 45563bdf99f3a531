"""A neuron that remembers how often two spikes came together: one element of K^T V, summed token by token.

All three kinds of spikes reach its one dendritic accumulator, keys with weight 1, values with 2, queries with 4, at
most one of each a time step; so the sum's bits tell which came. It is assumed to have three state variables (the count
of this period, that of the last one, time steps since the period began), bitwise logic and a conditional.
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

PAIR, QUERY = 3, 4  # a key and a value; a query


class Memory(AbstractProcess):  # type: ignore[misc]
    """Counts the time steps of a period in which a key and a value come; sends the last period's count for a query.

    Periods begin in time steps t = start + 1 + k * period.
    """

    def __init__(self, shape: tuple[int, ...], start: int, period: int) -> None:
        super().__init__(shape=shape, start=start, period=period)
        self.a_in, self.s_out = InPort(shape=shape), OutPort(shape=shape)
        self.count, self.kept = Var(shape=shape, init=0), Var(shape=shape, init=0)


@implements(proc=Memory, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyMemoryModelFixed(PyLoihiProcessModel):  # type: ignore[misc]
    """Integers throughout; counts are at most the period, far below 24 bit."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    count: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    kept: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.start, self.period = proc_params["start"], proc_params["period"]

    def run_spk(self) -> None:
        """One time step: turn the page if a period begins, count, answer."""
        came = self.a_in.recv()
        if (self.time_step - 1 - self.start) % self.period == 0:
            self.kept, self.count = self.count, np.zeros_like(self.count)
        self.count = self.count + ((came & PAIR) == PAIR)
        self.s_out.send(np.where(came & QUERY, self.kept, 0))
