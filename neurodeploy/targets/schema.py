"""What a target file holds: tables, keys, units and what each number means, by kind of chip. Data, no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from neurodeploy.numerics import Profile

STATUSES = ("datasheet", "paper", "measured", "assumed", "absent")
KINDS = ("cores", "crossbar", "cpu")
TEXTS = {
    "name": "how commands call it",
    "title": "its full name",
    "kind": "`cores`: cores that hold neurons and the synapses onto them; `crossbar`: arrays of rows and columns; "
    "`cpu`: no chip",
    "profile": "the integer arithmetic that networks are compiled for and proven in, one of `neurodeploy.numerics`",
}
REAL_UNITS = ("mm2", "pJ", "ns", "mW")  # a flag is true or false; a number of any other unit is whole
FLAG = "flag"
MOST = 1 << 53  # whole numbers up to it are exact in JSON's floats as well


@dataclass(frozen=True)
class Key:
    """One number. least: the smallest value.  listed: may be a list as well.  of: asked of files with one of these
    features only, which are the kinds and the names of the optional tables, and "digital" without an [adc].
    """

    unit: str
    what: str
    least: int = 0
    listed: bool = False
    of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of numbers. of: the features of files that have it.  optional: left out, it is no feature of the chip."""

    what: str
    keys: Mapping[str, Key]
    of: tuple[str, ...] = ("cores", "crossbar")
    optional: bool = False


_NO_WIDTHS = ("name", "chip")  # of a profile: a file says neither in its arithmetic
_WIDTHS = [f.name for f in fields(Profile) if f.name not in _NO_WIDTHS]
_STEPS = {"delay_max": "time step"}
_CORES, _CROSSBAR, _ADC, _DIGITAL = ("cores",), ("crossbar",), ("adc",), ("cores", "digital")

SCHEMA: Mapping[str, Table] = {
    "arithmetic": Table(
        "The widths of the profile, as the interval proof keeps them; see `numerics.Profile`. Left out, they are the "
        "profile's and count as assumed: the chip's own neurons are then not known to compute it",
        {key: Key(_STEPS.get(key, "bit"), f"`{key}` of the profile") for key in _WIDTHS},
        ("cores", "crossbar", "cpu"),
        optional=True,
    ),
    "neuron": Table(
        "What the chip's neurons compute",
        {
            "lif": Key(FLAG, "leaky integrate-and-fire as the profile has it: a membrane that decays by a factor"),
            "sum": Key(FLAG, "neurons that send the sum of their inputs as a graded spike"),
            "relu": Key(FLAG, "neurons that send the positive part of their input as a graded spike"),
            "product": Key(FLAG, "neurons that multiply two of their inputs"),
            "programmable": Key(FLAG, "neurons of one's own (`custom`) can be loaded"),
            "state_bits": Key("bit", "width of the membrane, sign included", 1),
            "payload_bits": Key("bit", "payload of a spike, sign included; 0: a spike is binary"),
        },
    ),
    "synapse": Table(
        "What the chip's synapses hold",
        {
            "weight_bits": Key("bit", "widest weight of one synapse, sign included, over as many cells as it needs", 1),
            "any_width": Key(
                FLAG, "a layer's weights take as many bits as its widest one, not all of weight_bits", of=_CORES
            ),
            "overhead_bits": Key("bit", "synapse memory beside the weight that a synapse of a list takes", of=_CORES),
            "shares_weights": Key(FLAG, "a core holds the weights of a convolution once for all its neurons"),
            "adds_partial_sums": Key(FLAG, "sums of parts of a fan-in can be added without a loss"),
        },
    ),
    "core": Table(
        "Limits of one core; a list is a number for each core of the chip",
        {
            "neurons": Key("neuron", "neurons", 1, listed=True),
            "memory": Key("byte", "all memory; shown only, no use of it is counted", 1, listed=True),
            "synapse_memory": Key("byte", "memory for synapses", 1, listed=True),
            "synapses": Key("synapse", "synapses", 1, listed=True),
            "axons_in": Key("axon", "axons that come in", 1, listed=True),
            "axons_out": Key("axon", "axons that go out", 1, listed=True),
            "fan_in": Key("synapse", "synapses onto one neuron", 1, listed=True),
            "destinations": Key("core", "cores that the spikes of one core can go to", 1),
        },
        _CORES,
    ),
    "convolution": Table(
        "Limits of cores that compute nothing but convolutions",
        {
            "kernel": Key("pixel", "height and width of a kernel", 1),
            "strides": Key("pixel", "the strides there are", 1, listed=True),
            "channels": Key("channel", "channels in, and channels out", 1),
            "input": Key("pixel", "height and width of the input", 1),
            "output": Key("pixel", "height and width of the output", 1),
            "pooling": Key("pixel", "the sum-pooling windows there are; shown only", 1, listed=True),
        },
        _CORES,
        optional=True,
    ),
    "crossbar": Table(
        "One array",
        {
            "rows": Key("row", "rows, one an axon and row of a weight", 1),
            "columns": Key("column", "columns, one a neuron and column of a weight", 1),
            "cell_bits": Key("bit", "bits of one cell: it has 2^cell_bits levels, the lowest of them 0", 1),
            "weight_rows": Key(
                "row", "rows that a weight takes; a list: a weight of 1, 2, 3, ... bits", 1, listed=True
            ),
            "weight_columns": Key("column", "columns that it takes; a list: of 1, 2, 3, ... bits", 1, listed=True),
            "offset": Key(FLAG, "a weight w of b bits is held as w + 2^(b-1); the spikes are counted and taken off"),
        },
        _CROSSBAR,
    ),
    "adc": Table(
        "How an analog array is read; a crossbar without this table is digital and exact",
        {
            "bits": Key("bit", "width of the converter: what exceeds 2^bits - 1 is clipped", 1),
            "input_bits": Key("bit", "bits of a payload that one read puts onto a row", 1),
            "rows_a_read": Key("row", "rows that can be switched on in one read", 1),
            "columns_a_converter": Key("column", "columns that share a converter, one after another", 1),
            "flips_columns": Key(
                FLAG, "a column whose cells sum to more than 2^bits - 1 is held inverted, which is worth one bit"
            ),
        },
        _CROSSBAR,
        optional=True,
    ),
    "chip": Table(
        "One chip, and how many can be joined",
        {
            "cores": Key("core", "cores, or arrays", 1),
            "neurons": Key("neuron", "neurons", 1),
            "synapses": Key("synapse", "synapses", 1),
            "chips": Key("chip", "chips of the largest system", 1),
            "mesh_x": Key("router", "routers from west to east", 1),
            "mesh_y": Key("router", "routers from north to south", 1),
            "cores_a_router": Key("core", "cores, or arrays, at one router", 1),
            "area": Key("mm2", "area of the die; shown only"),
        },
    ),
    "energy": Table(
        "Energy of one event",
        {
            "synapse": Key("pJ", "a synaptic operation", of=_DIGITAL),
            "neuron_active": Key("pJ", "the update of a neuron that fires"),
            "neuron_inactive": Key("pJ", "the update of a neuron that does not fire"),
            "spike_tile": Key("pJ", "a spike within its router's cores"),
            "hop_x": Key("pJ", "a spike's hop to the router east or west"),
            "hop_y": Key("pJ", "a spike's hop to the router north or south"),
            "hop_chip": Key("pJ", "a spike's hop to another chip"),
            "conversion": Key("pJ", "a conversion of one column", of=_ADC),
            "cell": Key("pJ", "one cell in one read", of=_ADC),
            "row": Key("pJ", "one driven row in one read", of=_ADC),
        },
    ),
    "time": Table(
        "Time of one event",
        {
            "synapse": Key("ns", "a synaptic operation of a core", of=_CORES),
            "neuron_active": Key("ns", "the update of a neuron that fires", of=_CORES),
            "neuron_inactive": Key("ns", "the update of a neuron that does not fire", of=_CORES),
            "spike_tile": Key("ns", "a spike within its router's cores"),
            "hop_x": Key("ns", "a spike's hop to the router east or west"),
            "hop_y": Key("ns", "a spike's hop to the router north or south"),
            "barrier": Key("ns", "the end of a time step on one chip"),
            "barrier_chips": Key("ns", "the end of a time step over several chips"),
            "tick": Key("ns", "a time step of a chip with a fixed clock for it"),
            "read": Key("ns", "one read of an array", of=_ADC),
            "conversion": Key("ns", "a conversion of one column", of=_ADC),
        },
    ),
    "power": Table(
        "What is used without any event",
        {
            "static_core": Key("mW", "a core, or an array"),
            "static_chip": Key("mW", "a whole chip, its cores included"),
        },
    ),
}
"""Table -> what it holds. A file has every table and key that its features ask for, and no other; a number that
nobody published has the status "absent" and no value."""


def tables_of(features: frozenset[str]) -> Mapping[str, Mapping[str, Key]]:
    """The tables and keys of a file with these features: its kind, its optional tables, "digital" without [adc]."""
    return {
        name: {key: spec for key, spec in table.keys.items() if not spec.of or features & {*spec.of}}
        for name, table in SCHEMA.items()
        if features & {*table.of} and (not table.optional or name in features)
    }
