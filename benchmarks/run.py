"""Time the native engine beside every runtime that a user could pick: the same weights, the same images, one run.

make bench                                                           everything: hours
python -m benchmarks.run --network qkformer_mnist --rounds 3         a short run; build/bench.json gathers them

Each peer is a process of its own, so that CPU seconds and memory are its alone. In every round each runs once, so that
what else the machine does falls on all alike.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import machine, report
from benchmarks.clock import Seconds
from benchmarks.networks import BULK, IMAGES, LOGITS, NETWORKS, ROOT, Files, prepare, trained, weights_and_images
from benchmarks.peers import PEERS
from benchmarks.worker import SPAWN, Absent, Ready, Worker

BUILD = ROOT / "build"
DIGITS = 5000
CORRELATION = 0.9  # of logits with the float model's; below, a peer computes something else
CONSOLE = Console()


@dataclass(frozen=True)
class Settings:
    """What was asked for on the command line."""

    networks: tuple[str, ...]
    peers: tuple[str, ...]
    batches: tuple[int, ...]
    threads: tuple[int, ...]
    rounds: int
    limit: float
    path: Path
    reuse: bool
    document: bool


def measure(files: Files, chosen: Settings, batch: int, threads: int) -> dict[str, Any]:
    """One interleaved run: every peer's figures, or why there are none."""
    taken_on = machine.facts()
    found: dict[str, dict[str, Any]] = {
        name: {"label": PEERS[name].label, "precision": PEERS[name].precision} for name in chosen.peers
    }
    workers = start(files, found, batch, threads, chosen.limit)
    try:
        for name, seconds in rounds(workers, chosen.rounds).items():
            found[name] |= report.figures(seconds)
        for name, worker in workers.items():
            answer = worker.finish()
            found[name] |= {"absent": answer.reason} if isinstance(answer, Absent) else {"peak_bytes": answer}
    finally:
        for worker in workers.values():
            worker.stop()
    report.ratios(found)
    head = {"network": files.name, "batch": batch, "threads": threads, "rounds": chosen.rounds}
    words = {"weights": weights_and_images(files.name), "machine": taken_on, "load_after": machine.load()}
    return {**head, **words, "peers": found}


def rounds(workers: Mapping[str, Worker], count: int) -> dict[str, list[Seconds]]:
    """Seconds an image in each round; of a peer that ends on the way, those until then are left out."""
    seconds: dict[str, list[Seconds]] = {name: [] for name in workers}
    for _ in range(count):
        for name, worker in workers.items():
            answer = worker.measure() if name in seconds else None
            if isinstance(answer, Absent):
                del seconds[name]
            elif answer:
                seconds[name].append(answer)
    return seconds


def start(files: Files, found: dict[str, dict[str, Any]], batch: int, threads: int, limit: float) -> dict[str, Worker]:
    """Load one peer after the other and check its logits; `found` gets what that shows, or why a peer is absent."""
    workers, wanted, integers = dict[str, Worker](), np.load(files.path(LOGITS))[:batch], None
    for name, entry in found.items():
        peer = PEERS[name]
        if reason := peer.absent(files.name, batch):
            entry["absent"] = reason
            continue
        worker = Worker(name, files, batch, threads)
        answer = worker.ready(limit)
        if isinstance(answer, Absent):
            entry["absent"] = answer.reason
            continue
        workers[name] = worker
        entry.update(described(answer, wanted))
        if peer.integer:
            integers = answer.logits if integers is None else integers
            entry["integers_equal"] = bool(np.array_equal(integers, answer.logits))
    return workers


def described(ready: Ready, wanted: NDArray[Any]) -> dict[str, Any]:
    """What a peer's first run says."""
    times = {"load_s": ready.load, "first_s": ready.first, "runtime": ready.runtime}
    return times | report.distance(ready.logits, wanted)


def wrong(run: Mapping[str, Any]) -> list[str]:
    """The peers of a run that compute something else."""
    return [
        f"{report.title(run)}: {found['label']} {found['precision']}"
        for found in run["peers"].values()
        if not found.get("integers_equal", True) or not found.get("correlation", 1.0) >= CORRELATION
    ]


def show(run: Mapping[str, Any]) -> None:
    """Print a run as a table."""
    table = Table(title=f"{report.title(run)}: ms an image, {run['rounds']} rounds")
    for column in report.SHORT:
        table.add_column(column, justify="left" if column in report.LEFT else "right")
    for row in report.rows(run):
        table.add_row(*(row[report.COLUMNS.index(column)] for column in report.SHORT))
    CONSOLE.print(table)


def made(name: str, batches: Sequence[int], chosen: Settings) -> Files:
    """The files of a network, prepared in a process of its own, whose memory is then free."""
    files, fixed = Files(name, BUILD / "bench" / name), [batch for batch in batches if batch <= BULK]
    wanted = {PEERS[peer].file for peer in chosen.peers}
    held = all(files.path(file, batch).is_file() for file in (*wanted, IMAGES, LOGITS) for batch in fixed)
    held = held and files.path(LOGITS).is_file()
    if chosen.reuse and held and len(np.load(files.path(LOGITS))) >= max(batches):
        return files
    CONSOLE.print(f"{name}: preparing weights, images and files")
    process = SPAWN.Process(target=prepare, args=(files, max(batches), fixed, wanted))
    process.start()
    process.join()
    if process.exitcode:
        raise click.ClickException(f"{name} could not be prepared: see above")
    return files


@click.command(context_settings={"show_default": True})
@click.option("--network", "networks", multiple=True, default=NETWORKS, help="A factory of neurodeploy.models.")
@click.option("--peer", "peers", multiple=True, type=click.Choice(list(PEERS)), default=list(PEERS))
@click.option("--batch", "batches", multiple=True, type=click.IntRange(min=1), help="[default: 1, 8, demo: 5000 too]")
@click.option("--threads", "threads", multiple=True, type=click.IntRange(min=1), default=(1, 2))
@click.option("--rounds", type=click.IntRange(min=1), default=7)
@click.option("--limit", type=click.FloatRange(min=1), default=900, help="Seconds in which a peer has to be ready.")
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path), default=BUILD / "bench.json")
@click.option("--reuse", is_flag=True, help="Take the prepared files of an earlier run.")
@click.option("--document", is_flag=True, help="Write the tables of all runs in the JSON file to docs/performance.md.")
def main(**options: Any) -> None:
    """Measure, show, and gather the figures."""
    chosen = Settings(**options)
    try:
        held, failures = report.gathered(chosen.path), list[str]()
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for name in chosen.networks:
        sizes = chosen.batches or ((1, 8, DIGITS) if trained(name) else (1, 8))
        files = made(name, sizes, chosen)
        for batch, count in product(sizes, chosen.threads):
            run = measure(files, chosen, batch, count)
            show(run)
            held = report.merge(chosen.path, [run])
            failures += wrong(run)
    if chosen.document:
        report.write_document(held)
    CONSOLE.print(f"written to {chosen.path}")
    if failures:
        sys.exit("these compute something else: " + "; ".join(failures))


if __name__ == "__main__":
    main()
