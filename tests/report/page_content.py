"""A report of a tiny network, and what its HTML holds, read with the parser of the standard library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from neurodeploy import api
from neurodeploy.ir.graph import Graph
from neurodeploy.quantize import quantize
from tests.traced_graphs import FAMILIES, pictures

pytest.importorskip("jinja2", reason="the page needs jinja2, which this environment does not have")

SAMPLES, CLASSES = 12, 3
LABELS = np.arange(SAMPLES) % CLASSES
SECTIONS = ("summary", "accuracy", "network", "chip", "rates", "raster", "rounding", "bounds", "attention")
FEW: dict[str, Any] = {"observed": 6, "shown": 3, "compared": 2, "backends": ("reference", "onnx"), "backend": "onnx"}
VOID = frozenset({"meta", "link"})  # of what the page has; a shape of an SVG closes itself


@lru_cache
def deployed(family: str = "qkformer") -> api.CompiledModel:
    """A tiny network of a family, quantized."""
    return api.CompiledModel(quantize(FAMILIES[family](), pictures(8)))


def renamed(graph: Graph, name: Callable[[str], str]) -> Graph:
    """The same graph with other names of its nodes."""
    nodes = [replace(n, name=name(n.name), inputs=tuple(map(name, n.inputs))) for n in graph.nodes]
    return replace(graph, nodes=tuple(nodes), output=name(graph.output))


class Read(HTMLParser):
    """Elements (tag, attributes), text by section, and tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, str] = {}
        self.unbalanced: list[str] = []
        self._open: list[str] = []
        self._section = ""
        self.feed(text)
        self.close()
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.elements.append((tag, held))
        if tag == "section":
            self._section = held["id"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unbalanced.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.text[self._section] = self.text.get(self._section, "") + data

    def of(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of a tag."""
        return [held for found, held in self.elements if found == tag]
