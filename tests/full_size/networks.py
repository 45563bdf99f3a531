"""The networks of the papers with random weights, and images for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import nn

import neurodeploy as nd
from neurodeploy import models

IMAGES = 8
IMAGENET, SMALL = 0.98, 0.99  # correlation of integer with float logits at 8 bits, at least


@dataclass(frozen=True)
class Case:
    """A network, deployed, and the samples of the comparison, which it has not seen."""

    model: nn.Module
    images: np.ndarray
    deployed: nd.CompiledModel


def least_correlation(name: str) -> float:
    """What the logits of a network have to reach."""
    return IMAGENET if models.FACTORIES[name].config.image_size >= 224 else SMALL


def pictures(count: int, channels: int, side: int, seed: int) -> np.ndarray:
    """Images in 0..1 with the spectrum of photographs (amplitude 1 / f), float32 [count, channels, side, side]."""
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum = np.fft.rfft2(rng.normal(size=(count, channels, side, side))) / np.maximum(radius, 1 / side)
    field = np.fft.irfft2(spectrum, s=(side, side))
    low, high = (pick(field, axis=(1, 2, 3), keepdims=True) for pick in (np.min, np.max))
    return ((field - low) / (high - low)).astype(np.float32)


def samples(name: str, seed: int) -> np.ndarray:
    """Images [IMAGES, C, H, W] for a network."""
    config = models.FACTORIES[name].config
    return pictures(IMAGES, config.in_channels, config.image_size, seed)


def random_model(name: str) -> nn.Module:
    """A network of the papers with random weights, its BatchNorms spread and calibrated, in eval mode."""
    torch.manual_seed(0)
    model = models.spread_norms(models.FACTORIES[name](), seed=1)
    return models.calibrate_norms(model, torch.from_numpy(samples(name, seed=1)), batch=2)


@lru_cache(maxsize=1)
def case(name: str) -> Case:
    """The network compiled with eight images for calibration; the last one asked for is kept."""
    model, images = random_model(name), samples(name, seed=2)
    return Case(model, images, nd.compile(model, images[:1], calibration=samples(name, seed=3), name=name))
