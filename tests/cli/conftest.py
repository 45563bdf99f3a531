"""A tiny artefact and its data on disk, and a command line that is called in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from neurodeploy import api
from neurodeploy.cli.app import invoke
from neurodeploy.quantize import quantize
from tests.traced_graphs import FAMILIES, pictures

SAMPLES, CLASSES = 12, 3


class Files(NamedTuple):
    """Paths of an artefact, of labelled images (.npz), and of the bare images (.npy)."""

    artefact: str
    data: str
    images: str


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as the one JSON document that it has to be."""
        return json.loads(self.out)

    @property
    def findings(self) -> list[str]:
        """The codes of an error's findings."""
        return [finding["code"] for finding in self.document["findings"]]


Command = Callable[..., Outcome]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("cli")
    model = api.CompiledModel(quantize(FAMILIES["qkformer"](), pictures(8)))
    model.save(folder / "tiny.onnx")
    images = pictures(SAMPLES)
    np.savez(folder / "data.npz", images=images, labels=np.arange(SAMPLES) % CLASSES)
    np.save(folder / "images.npy", images)
    return Files(*(str(folder / name) for name in ("tiny.onnx", "data.npz", "images.npy")))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `neurodeploy` with these words in this process."""

    def run(*words: str | Path) -> Outcome:
        code = invoke([str(word) for word in words])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return run
