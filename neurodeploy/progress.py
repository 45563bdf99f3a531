"""Progress of what takes long: progress(done, total), in whatever a caller counts."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]


def share(progress: Progress | None, begun: int, part: int, total: int) -> Progress | None:
    """Progress of a part, whatever it counts, as progress of the whole: from `begun` on, `part` of `total`."""
    if progress is None:
        return None
    return lambda done, of: progress(begun + done * part // of, total)
