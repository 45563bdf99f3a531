"""Reads an HDF5 file, bounded, as a program of its own: `python unpack.py FILE`; answers on stdout.

HDF5's library is C: a damaged file can crash it, make it ask for memory or keep it busy. Here that ends a child. The
first line of the answer is JSON (texts, arrays as [path, dtype, shape], problems as [path, need, have]); the bytes of
the arrays follow in that order, little-endian, C order.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 6  # groups within groups; netx has four
MAX_OBJECTS = 20_000
MAX_NAME = 200  # characters
MAX_TEXT = 512  # characters of a string
MAX_VALUES = 1 << 24  # of one array
MAX_BYTES = 1 << 29  # of all arrays, at the 8 bytes a value that whoever reads them computes with
VALUE = 8  # bytes
MOST_GAIN = 1032  # deflate makes no more out of a byte
MEMORY = 4 << 30
SECONDS = 60  # of the processor
KINDS = "biuf"
NO_IMPORT = (ImportError, AttributeError, ValueError, OSError)  # the others of an h5py for another NumPy or HDF5
Problem = tuple[str, str, str]  # path, need, have


def main(path: str) -> int:
    """Answer for one file; 3 without h5py."""
    _limit()
    sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120
    try:
        import h5py
    except NO_IMPORT as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 3
    reader = Reader()
    try:
        with h5py.File(path, "r") as file:
            reader.read(file)
    except (OSError, RuntimeError, ValueError, KeyError, MemoryError) as error:
        reader.problems.append(("", "an HDF5 file", _said(error)))
    reader.answer()
    return 0


def _limit() -> None:
    """Limit this process, to less where whoever started it set less."""
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        own = resource.getrlimit(kind)[0]
        least = most if own == resource.RLIM_INFINITY else min(own, most)
        resource.setrlimit(kind, (least, least))


def _said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


class Reader:
    """What has been read, and everything that is wrong with the file."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.arrays: dict[str, Any] = {}
        self.groups: list[str] = []
        self.problems: list[Problem] = []
        self.bytes = 0

    def read(self, file: Any) -> None:
        """Walk through the file; hard links alone are followed, and no object is visited twice."""
        import h5py

        seen, waiting = {h5py.h5o.get_info(file.id).addr}, [("", file, 0)]
        while waiting:
            path, group, depth = waiting.pop()
            if len(group) + len(seen) > MAX_OBJECTS:
                self.problems.append((path, f"at most {MAX_OBJECTS} objects", f"{len(group)} more"))
                return
            for child, found in self._children(path, group):
                address = h5py.h5o.get_info(found.id).addr
                if address in seen:
                    self.problems.append((child, "an object of its own", "one that another path leads to"))
                    continue
                seen.add(address)
                if isinstance(found, h5py.Group) and depth + 1 >= MAX_DEPTH:
                    self.problems.append((child, f"at most {MAX_DEPTH} groups within one another", "more"))
                elif isinstance(found, h5py.Group):
                    self.groups.append(child)
                    waiting.append((child, found, depth + 1))
                else:
                    self._dataset(child, found)

    def _children(self, path: str, group: Any) -> Iterator[tuple[str, Any]]:
        import h5py

        for name in list(group.keys()):
            child = f"{path}/{name}"[-MAX_NAME:]
            try:
                if len(name) > MAX_NAME or not name.isprintable():
                    self.problems.append((path, f"names of at most {MAX_NAME} printable characters", repr(name[:40])))
                    continue
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    self.problems.append((child, "data in the file itself", type(link).__name__))
                    continue
                yield child, group[name]
            except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
                self.problems.append((child, "a group or an array", _said(error)))

    def _dataset(self, path: str, found: Any) -> None:
        try:
            problem = self._refused(found)
            if problem:
                self.problems.append((path, *problem))
            elif found.dtype.kind in KINDS:
                order = found.dtype.newbyteorder("<")
                self.arrays[path] = found[()].astype(order, copy=False)
            else:
                self._text(path, found)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
            self.problems.append((path, "an array that can be read", _said(error)))

    def _refused(self, found: Any) -> tuple[str, str] | None:
        """(need, have) of what is wrong with an array before it is read."""
        import h5py

        if not isinstance(found, h5py.Dataset) or found.shape is None:
            return "a group or an array", type(found).__name__ if not isinstance(found, h5py.Dataset) else "nothing"
        if found.external or found.is_virtual:
            return "data in the file itself", "data in another file"
        if found.compression not in (None, "gzip") or found._filters.keys() - {"gzip", "shuffle", "fletcher32"}:
            return "no compression, or gzip", f"filters {sorted(found._filters)}"
        text = h5py.check_string_dtype(found.dtype) is not None
        if not text and (found.dtype.kind not in KINDS or found.dtype.itemsize > VALUE):
            return "integers, floats or a string", f"{found.dtype}"
        return self._oversized(found, text)

    def _oversized(self, found: Any, text: bool) -> tuple[str, str] | None:
        size, stored = found.size * found.dtype.itemsize, found.id.get_storage_size()
        if found.size > MAX_VALUES:
            return f"at most {MAX_VALUES:,} values", f"{found.size:,} values declared"
        if size > stored * (1 if found.chunks is None else MOST_GAIN):
            return f"the {size:,} bytes that are declared", f"{stored:,} bytes in the file"
        if text and found.size != 1:
            return "one string", f"{found.size} strings"
        taken = self.bytes + found.size * max(found.dtype.itemsize, VALUE)
        if taken > MAX_BYTES:
            return f"at most {MAX_BYTES:,} bytes in all", f"{taken:,} bytes declared"
        self.bytes = taken
        return None

    def _text(self, path: str, found: Any) -> None:
        raw = found[()] if found.shape == () else found[(0,) * found.ndim]
        text = raw if isinstance(raw, str) else bytes(raw).split(b"\0")[0].decode("utf-8")
        if len(text) > MAX_TEXT:
            self.problems.append((path, f"a string of at most {MAX_TEXT} characters", f"{len(text)} characters"))
        else:
            self.texts[path] = text

    def answer(self) -> None:
        """Write everything to stdout."""
        listed = [[path, array.dtype.str, list(array.shape)] for path, array in self.arrays.items()]
        header = {"texts": self.texts, "groups": self.groups, "arrays": listed, "problems": self.problems}
        out = sys.stdout.buffer
        out.write(json.dumps(header).encode() + b"\n")
        for array in self.arrays.values():
            out.write(array.tobytes("C"))
        out.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
