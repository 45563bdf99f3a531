"""What mapping an artefact takes: ``python -m tests.full_size.measure_map model.onnx loihi2 stock``, as JSON.

Seconds of mapping, on the clock and of the processor, peak resident bytes of the process, and what the bill says: fits,
cores, chips, what binds, reasons.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import neurodeploy as nd
from neurodeploy.mapping.bill import Bill


def measure(path: str, target: str, neurons: str) -> dict[str, Any]:
    """The figures of one mapping."""
    deployed = nd.load(path)
    start, spent = time.perf_counter(), time.process_time()
    bill = deployed.map(target, neurons="custom" if neurons == "custom" else "stock")
    seconds, cpu = time.perf_counter() - start, time.process_time() - spent
    return {"seconds": seconds, "cpu": cpu, "peak": peak(), **said(bill)}


def peak() -> int:
    """Peak resident bytes of this program; Linux carries `ru_maxrss` over from the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def said(bill: Bill) -> dict[str, Any]:
    """What the bill answers."""
    held, placed = bill.bottleneck, bill.placement
    return {
        "fits": bill.fits,
        "attention": bill.attention.get("chosen"),
        "neurons": bill.figure("size", "neurons").value if "size" in bill.sections else None,
        "cores": placed.used_cores if placed else None,
        "chips": placed.chips if placed else None,
        "bottleneck": None if held is None else f"{held.name} {100 * (held.share or 0):.1f} %, {held.layer}",
        "reasons": sorted({f"{finding.code} {finding.need}, {finding.have}" for finding in bill.findings}),
        "codes": sorted({finding.code for finding in bill.findings}),
    }


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:4])))
