"""The networks of the benchmark, and the files from which every peer loads the same weights and the same images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINTS = ROOT / "examples" / "checkpoints"
NETWORKS = ("qkformer_10_768", "qkformer_10_384", "spikformer_8_512", "qkformer_mnist", "spikformer_mnist")
CALIBRATION = 64  # digits
BULK = 64  # samples; larger batches are for peers that slice them themselves
STATE, IMAGES, LOGITS, ARTEFACT, FLOAT = "state.pth", "images.npy", "logits.npy", "artefact.onnx", "float"


@dataclass(frozen=True)
class Files:
    """A folder with what was prepared for a network; the float ONNX file is one for each batch size."""

    name: str
    folder: Path

    def path(self, file: str, batch: int = 0) -> Path:
        """One of the files."""
        return self.folder / (f"{file}_{batch}.onnx" if file == FLOAT else file)

    def images(self, batch: int) -> NDArray[np.float32]:
        """The first images, as many as a batch holds."""
        return np.load(self.path(IMAGES), mmap_mode="r")[:batch].copy()

    def model(self) -> nn.Module:
        """The float model, in eval mode."""
        import torch

        from neurodeploy.models import FACTORIES

        model = FACTORIES[self.name]()
        model.load_state_dict(torch.load(self.path(STATE), weights_only=True))
        return model.eval()


def trained(name: str) -> bool:
    """Whether a checkpoint of the network ships with the project."""
    return (CHECKPOINTS / f"{name}.pth").is_file()


def weights_and_images(name: str) -> str:
    """What a network runs with, in words."""
    if trained(name):
        return "trained weights of examples/checkpoints, MNIST digits"
    return "random weights with calibrated BatchNorms, images with the spectrum of photos"


def prepare(files: Files, count: int, batches: Sequence[int], wanted: set[str]) -> None:
    """Write what the peers load: weights, images, float logits, the artefact and float ONNX files as wanted.

    count: how many images.  batches: of the float ONNX files, whose batch size is fixed.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    import neurodeploy as nd
    from benchmarks.floats import export, folded

    torch.set_num_threads(1)
    files.folder.mkdir(parents=True, exist_ok=True)
    model, images, calibration = _trained(files.name) if trained(files.name) else _random(files.name)
    images = images[:count]
    torch.save(model.state_dict(), files.path(STATE))
    np.save(files.path(IMAGES), images)
    np.save(files.path(LOGITS), float_logits(model, images))
    if ARTEFACT in wanted:
        nd.compile(model, images[:1], calibration=calibration, name=files.name).save(files.path(ARTEFACT))
    if FLOAT in wanted:
        for batch in batches:
            export(folded(model), torch.from_numpy(images[:batch]), files.path(FLOAT, batch))


def float_logits(model: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of the float model, sample by sample; of many, in batches, in which samples do not depend on others."""
    import torch
    from spikingjelly.activation_based import functional

    found = []
    with torch.inference_mode():
        for image in torch.from_numpy(images).split(1 if len(images) <= BULK else BULK):
            functional.reset_net(model)
            found.append(model(image).numpy())
    functional.reset_net(model)
    return np.concatenate(found)


def _trained(name: str) -> tuple[nn.Module, NDArray[np.float32], NDArray[np.float32]]:
    from examples.data import digits
    from neurodeploy.api import load_model

    images = digits().images
    spread = np.random.default_rng(0).permutation(len(images))  # the digits come sorted by class
    model = load_model(f"neurodeploy.models:{name}", CHECKPOINTS / f"{name}.pth")
    with np.load(CHECKPOINTS / "calibration_mnist.npz") as calibration:
        seen = calibration["images"][:CALIBRATION]
    return model, images[spread], seen


def _random(name: str) -> tuple[nn.Module, NDArray[np.float32], NDArray[np.float32]]:
    """As `make test-full` takes them."""
    from tests.full_size.networks import random_model, samples

    return random_model(name), samples(name, seed=2), samples(name, seed=3)
