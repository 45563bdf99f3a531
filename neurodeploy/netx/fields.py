"""Typed access to the fields of one layer of a .net file; whatever is wrong becomes a finding, and reading goes on."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import Finding
from neurodeploy.netx.container import AGAIN, Container
from neurodeploy.numerics import Int64

LARGEST = 1 << 24  # magnitude of any integer of a file: beyond it nothing fits a layer, and int64 holds every sum
LEAST, MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)  # of a number above zero
FEW = 8  # sizes of a layer
DAMAGED, UNSUPPORTED = "ND-L003", "ND-L004"


class Fields:
    """The group at `path`, such as /layer/3 or /layer/3/neuron. findings: of every layer, shared."""

    def __init__(self, container: Container, path: str, findings: list[Finding]) -> None:
        self.path, self.findings = path, findings
        self._container = container
        self.texts: Mapping[str, str] = _below(container.texts, path)
        self.arrays: Mapping[str, NDArray[Any]] = _below(container.arrays, path)

    def has(self, name: str) -> bool:
        """Whether there is such a group, array or string."""
        return name in self.arrays or name in self.texts or f"{self.path}/{name}" in self._container.groups

    def group(self, name: str) -> Fields:
        """The group within, which may be empty."""
        return Fields(self._container, f"{self.path}/{name}", self.findings)

    def damaged(self, need: str, have: object) -> None:
        """Note what is no layer as SLAYER writes it."""
        self.findings.append(Finding(DAMAGED, self.path, need, str(have), AGAIN))

    def unsupported(self, need: str, have: object, mend: str) -> None:
        """Note what neurodeploy or netx cannot run."""
        self.findings.append(Finding(UNSUPPORTED, self.path, need, str(have), mend))

    def text(self, name: str) -> str:
        """A string; "" where there is none, which is noted."""
        if name not in self.texts:
            self.damaged(f"a string `{name}`", "none")
        return self.texts.get(name, "")

    def integers(self, name: str, count: int | None = None) -> tuple[int, ...] | None:
        """Integers of any rank up to 1; of one alone `count` copies. None where they are not there, which is noted."""
        array = self.array(name, 1)
        if array is None:
            return None
        if array.size > FEW or (count is not None and array.size not in (1, count)):
            self.damaged(f"{count or f'at most {FEW}'} values `{name}`", array.size)
            return None
        values = tuple(map(int, np.atleast_1d(array)))
        return values * count if count is not None and len(values) == 1 else values

    def integer(self, name: str, default: int | None = None) -> int | None:
        """One integer; of several that are equal, that one. None where there is none, which is noted."""
        if default is not None and not self.has(name):
            return default
        array = self.array(name, 1)
        if array is None:
            return None
        low, high = int(array.min()), int(array.max())
        if low != high:
            need, have = f"one `{name}` for the whole layer", f"{array.size} values from {low} to {high}"
            self.unsupported(need, have, "train with shared_param=True, so that the neurons of a layer have one decay")
            return None
        return low

    def real(self, name: str) -> float:
        """One number above zero, as float32 holds it; 1.0 and a finding where there is none."""
        found = self.arrays.get(name)
        value = float(found.reshape(-1)[0]) if found is not None and found.size == 1 else 0.0
        if not LEAST <= value <= MOST:
            self.damaged(f"a number `{name}` of {LEAST:.2g} .. {MOST:.2g}", value)
            return 1.0
        return value

    def array(self, name: str, rank: int, largest: int = LARGEST) -> Int64 | None:
        """An array of rank `rank` at most as netx takes it: fractions cut off. None and a finding where it is not."""
        found = self.arrays.get(name)
        if found is None or found.ndim > rank or found.size == 0:
            have = "none" if found is None else f"shape {list(found.shape)}"
            self.damaged(f"numbers `{name}` of rank {rank} at most", have)
            return None
        least, most = float(found.min()), float(found.max())  # NaN where one value is
        if not (isfinite(least) and isfinite(most)):
            self.damaged(f"finite numbers `{name}`", f"{int(np.count_nonzero(~np.isfinite(found)))} NaN or infinite")
            return None
        if max(-least, most) > largest:
            self.damaged(f"`{name}` of at most {largest:,} in magnitude", f"{max(-least, most):g}")
            return None
        return found.astype(np.int64)


def _below(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """What lies in a group itself, by its name there, and in groups within as `group/name`."""
    return {name[len(path) + 1 :]: value for name, value in values.items() if name.startswith(f"{path}/")}
