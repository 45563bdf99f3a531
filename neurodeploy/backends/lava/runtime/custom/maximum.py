"""A neuron that sends the largest of its inputs of a time step.

A dendritic accumulator only adds, so several synapses onto one of them cannot carry a maximum. This neuron is assumed
to have an accumulator for each input port, 2 to 4 of them, as stock ProdNeuron has two, and to compare them one after
another: max(a, b) = -min(-a, -b). How many accumulators a core of Loihi 2 has to share among its neurons is not public.
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
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Maximum(AbstractProcess):  # type: ignore[misc]
    """s_out = max(a_in1, .., a_in<taps>), signed 24 bit; 2 to 4 taps. No state."""

    def __init__(self, shape: tuple[int, ...], taps: int) -> None:
        super().__init__(shape=shape, taps=taps)
        self.a_in1, self.a_in2 = InPort(shape=shape), InPort(shape=shape)
        self.a_in3, self.a_in4 = InPort(shape=shape), InPort(shape=shape)
        self.s_out = OutPort(shape=shape)


@implements(proc=Maximum, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyMaximumModelFixed(PyLoihiProcessModel):  # type: ignore[misc]
    """Integers throughout; a port beyond the taps is never read."""

    a_in1: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_in2: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_in3: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_in4: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.taps = proc_params["taps"]

    def run_spk(self) -> None:
        """One time step."""
        ports = (self.a_in1, self.a_in2, self.a_in3, self.a_in4)
        self.s_out.send(np.max([port.recv() for port in ports[: self.taps]], axis=0))
