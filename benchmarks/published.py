"""Set computed parameters and operations beside the published ones: writes the table of docs/models.md.

python benchmarks/published.py [--check]

Traces every published configuration; some minutes, no training, no weights beyond random ones. --check compares the
table with the file and changes nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch read it

import click
import numpy as np

from neurodeploy.evaluation.operations import E_AC, E_MAC, macs_of
from neurodeploy.frontend import trace
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.verify import types
from neurodeploy.models import FACTORIES

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "models.md"
BEGIN, END = "<!-- table: python benchmarks/published.py -->", "<!-- end of table -->"
GIGA, MEGA = 1e9, 1e6


@dataclass(frozen=True)
class Published:
    """What a paper reports, where it is known: parameters in M, synaptic operations in G, energy in mJ, top-1 in %."""

    parameters: float | None = None
    sops: float | None = None
    energy: float | None = None
    accuracy: str = ""


# Spikformer (Zhou et al., ICLR 2023), tables 1 to 4; QKFormer (Zhou et al., NeurIPS 2024), tables 1 to 3.
PUBLISHED = {
    "spikformer_8_384": Published(16.81, 6.82, 7.734, "70.24"),
    "spikformer_8_512": Published(29.68, 11.09, 11.577, "73.38"),
    "spikformer_10_512": Published(36.01, 13.67, 13.899, "73.68"),
    "spikformer_8_768": Published(66.34, 22.09, 21.477, "74.81"),
    "qkformer_10_384": Published(16.47, None, 15.13, "78.80"),
    "qkformer_10_512": Published(29.08, None, 21.99, "82.04"),
    "qkformer_10_768": Published(64.96, None, 38.91, "84.22"),
    "qkformer_10_768_288": Published(64.96, None, 64.27, "85.25"),
    "qkformer_10_768_384": Published(64.96, None, 113.64, "85.65"),
    "spikformer_cifar10_2_384": Published(),
    "spikformer_cifar10_4_256": Published(),
    "spikformer_cifar10": Published(9.32, accuracy="95.19 (95.51)"),
    "spikformer_cifar100": Published(9.32, accuracy="77.86 (78.21)"),
    "qkformer_cifar10": Published(6.74, accuracy="96.18"),
    "qkformer_cifar100": Published(6.74, accuracy="81.15"),
    "spikformer_cifar10dvs": Published(2.59, accuracy="78.9 / 80.9"),
    "spikformer_dvs128": Published(2.59, accuracy="96.9 / 98.3"),
    "qkformer_cifar10dvs": Published(1.50, accuracy="83.8 / 84.0"),
    "qkformer_dvs128": Published(1.50, accuracy="98.3 / 98.6"),
}
HEADER = (
    "| factory | parameters, needed | M, published | first layer, GMAC | rest, GMAC | products, GMAC "
    "| SOPs, published (G) | mJ, published | mean rate that this energy implies | top-1, published (%) |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def row(name: str, paper: Published) -> str:
    """One configuration: what its traced graph holds, beside what the paper reports."""
    model = FACTORIES[name]().eval()
    graph = trace(model, np.zeros((1, *model.config.input_shape), np.float32))
    needed = json.loads(graph.metadata["parameters"])["needed"]
    known = types(graph)
    first, *rest = (macs_of(node, known) / GIGA for node in graph.of("conv"))
    products = sum(macs_of(node, known) for node in graph.of("matmul")) / GIGA
    implied = implied_rate(paper, graph, first, sum(rest) + products)
    figures = (f"{first:.4f}", f"{sum(rest):.3f}", f"{products:.4f}", paper.sops, paper.energy, implied)
    millions = None if paper.parameters is None else f"{paper.parameters:.2f}"
    cells = (f"`{name}`", f"{needed:,}", millions, *figures, paper.accuracy)
    return "| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |"


def implied_rate(paper: Published, graph: Graph, first: float, rest: float) -> str | None:
    """The mean rate of all layers but the first that gives the published energy by the paper's own formula."""
    if paper.energy is None:
        return None
    image = E_MAC * graph.steps * first  # mJ, since G x pJ = mJ
    return f"{(paper.energy - image) / (E_AC * graph.steps * rest):.3f}"


def parts(text: str) -> tuple[str, str, str]:
    """The document before, in and after the table."""
    before, _, rest = text.partition(BEGIN)
    inside, _, after = rest.partition(END)
    return before, inside, after


@click.command()
@click.option("--check", is_flag=True, help="Compare with the file; change nothing.")
def main(check: bool) -> None:
    """Write the table of docs/models.md, or check that it is what the models give."""
    rows = []
    for name, paper in PUBLISHED.items():
        rows.append(row(name, paper))
        click.echo(rows[-1])
    table = "\n".join(["", HEADER, *rows, ""])
    before, inside, after = parts(DOCUMENT.read_text())
    if check and inside != table:
        raise click.ClickException(f"{DOCUMENT} has another table: run this without --check")
    if not check:
        DOCUMENT.write_text(before + BEGIN + table + END + after)


if __name__ == "__main__":
    main()
