"""Custom Lava processes, which stock Lava has not; Loihi 2's neurons are programmable, its stock library is not this.

A package of its own, without side effects: Lava's search for process models imports every module beside a process.
Nothing here ran on a chip. The models use what Intel's Loihi 2 technology brief (2021) tells of the microcode: state
variables a neuron, addition, bitwise logic, shifts, comparison, minimum, multiplication, conditional execution, and
spikes that carry an integer. Each module says what else it assumes.
"""
