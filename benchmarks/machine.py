"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16", "asimddp", "i8mm")


def facts() -> dict[str, object]:
    """Processor, what of it counts here, cores, memory, system, Python, the load at this moment, and the time."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = entries.get("flags", entries.get("Features", "")).split()
    return {
        "processor": " ".join(
            [entries.get("model name", platform.machine())]
            + [f"{key} {entries[key]}" for key in ("cpu family", "model") if key in entries]
        ),
        "extensions": [flag for flag in FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": load(),
        "time": datetime.now(timezone.utc).isoformat(timespec="minutes"),
    }


def commit() -> str:
    """The commit of the code, "+" behind it where files differ from it; "" where git does not say."""
    command = ["git", "describe", "--always", "--dirty=+"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip()


def load() -> float:
    """Processes that wanted a core in the last minute, on average."""
    return round(os.getloadavg()[0], 2)
