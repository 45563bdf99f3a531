"""Models that take height and width for each other, which shows on images that are not square only."""

from __future__ import annotations

from collections.abc import Iterator

from neurodeploy.errors import Finding
from neurodeploy.frontend.builder import Builder

_MAPS = ("conv", "max_pool")  # with three axes, their results are maps [C, H, W]


def swapped_axes(build: Builder) -> Iterator[Finding]:
    """A finding for each map [C, H, W] that was flattened to [C, N] and is read as [C, W, H] later on.

    The official files of QKFormer do that: reshape(T, B, C, W, H). On a square map it is the identity.
    """
    maps: set[tuple[int, ...]] = set()  # heights and widths so far, in the order of the model
    for node in build.nodes.values():
        shape = build.shapes[node.name]
        if node.op in _MAPS and len(shape) == 3:
            maps.add(shape[-2:])
        elif node.op == "reshape" and len(shape) > 1 and build.nodes[node.inputs[0]].op != "permute":
            # What was permuted has its tokens in front, and features are split into heads.
            before, (width, height) = build.shapes[node.inputs[0]], shape[-2:]
            swapped = width != height and (height, width) in maps and (width, height) not in maps
            if swapped and (before[-1:] == (height * width,) or before[-2:] == (height, width)):
                have = f"a map of {height} x {width} that is read as {width} x {height}"
                mend = "give square images, or let the model's reshape name height before width"
                yield Finding("ND-F013", node.source.path, "height and width kept apart", have, mend, str(node.source))
