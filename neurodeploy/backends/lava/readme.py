"""The README of a network folder."""

from __future__ import annotations

from collections import Counter

from neurodeploy.ir.mapped import MappedGraph

TEMPLATE = """# {name}: a spiking network of {kind} Lava processes

Runs with Python 3.10 and lava-nc 0.10.0; neurodeploy is not needed.

    pip install lava-nc==0.10.0
    python run.py --input images.npy                                # class and logits of each image
    python run.py --input images.npy --output out.npz --probes all  # with all spikes and membranes
    python run.py --input images.npy --runtime multiprocess         # Lava's own runtime, for small networks

`images.npy`: {what} [N, {shape}] as the trained model takes them, encoded here as
clip(rint(x / {step}), {lo}, {hi}){also}.
`out.npz`: `logits` int64 [N, classes] (times {scale} they approximate the trained model's), `spikes/<lif>` uint8 and
`membrane/<lif>` int32, both [N, {count}, ...], the membrane after the reset of neurons that fired.

{custom}{steps} time steps a sample, samples back to back; a sample's last step reaches the output {depth} steps later.
Populations: {populations}. Crossbars: {crossbars}. LIF layers that can be probed: {probes}.

| file | what it holds |
|---|---|
| network.json | populations, crossbars, depths, thresholds, decays, encoding, probes |
| network.npz | weights, biases, synapse indices as differences; its SHA-256 is in network.json |
| runtime/build.py | the Lava processes and how they connect |
| runtime/inprocess.py | runs the unmodified process models in one operating-system process |
| runtime/multiprocess.py | runs them in Lava's own runtime |

The Lava models are CPU simulations. Stock Conv is slow, so convolutions become stock Sparse with the same integers
where memory allows; `--conv shared` keeps stock Conv.
"""


def readme(graph: MappedGraph) -> str:
    """How to run the folder of a graph, and what is in it."""
    shape = ", ".join(map(str, graph.image_shape))
    kinds, events = Counter(p.kind for p in graph.populations), graph.encoding.events
    return TEMPLATE.format(
        name=graph.name,
        kind="custom" if any(p.custom for p in graph.populations) else "stock",
        custom=_custom(graph),
        shape=shape,
        what="event frames" if events else "floats",
        also="" if events else f"; or integers in that range; or [N, {graph.steps}, {shape}] with a time axis",
        step=graph.encoding.step,
        lo=graph.encoding.interval.lo,
        hi=graph.encoding.interval.hi,
        steps=graph.steps * graph.period,
        count=graph.steps,
        scale=graph.output_scale,
        depth=graph.depth,
        populations=", ".join(f"{count} {kind}" for kind, count in kinds.items()),
        crossbars=len(graph.crossbars),
        probes=len(graph.probed),
    )


def _custom(graph: MappedGraph) -> str:
    """What neurons a chip would have to be programmed for, in a paragraph of its own; "" for a stock network."""
    counts = Counter[str]()
    for population in graph.populations:
        if population.custom:
            counts[population.kind] += population.size
    if not counts:
        return ""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return (
        f"It has custom neurons, which are no part of stock Lava: {kinds}. Their processes are in runtime/custom,\n"
        "with what they assume of a programmable chip.\n\n"
    )
