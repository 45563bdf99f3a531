"""Every network of the papers at its own size: all CPU executors equal, logits close to the float network's.

`make test-full` runs them; one network: `make test-full ONLY=qkformer_10_768`.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import neurodeploy as nd
from neurodeploy import models
from neurodeploy.backends import native
from tests.full_size.networks import Case, case, least_correlation

pytestmark = [pytest.mark.slow, pytest.mark.torch]
SMALLEST = 32  # pixels; what is smaller ships trained, and the event networks have a file of their own
PAPERS = [n for n, made in models.FACTORIES.items() if made.config.image_size >= SMALLEST and not made.config.events]
EXECUTORS = ["reference", *(["native"] if native.available() else []), "onnx"]
GIGA = 1 << 30


@pytest.fixture(scope="module", params=PAPERS)
def network(request: pytest.FixtureRequest) -> tuple[str, Case]:
    """A network's name, and the network; one at a time is held."""
    return request.param, case(request.param)


def test_all_executors_give_the_same_integers(network: tuple[str, Case]) -> None:
    _, found = network
    nd.compare(found.deployed, found.images[:1], EXECUTORS).require_equal()


def test_logits_follow_the_float_network(network: tuple[str, Case]) -> None:
    name, found = network
    labels = np.zeros(len(found.images), np.int64)
    metrics = nd.evaluate(found.deployed, found.images, labels, found.model, EXECUTORS[-1], rate_samples=0)
    assert metrics.correlation is not None
    assert metrics.correlation >= least_correlation(name)


def test_the_largest_network_takes_little_time_and_memory() -> None:
    command = [sys.executable, "-m", "tests.full_size.measure", "qkformer_10_768"]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(figures)
    assert figures["parameters"] == 64_962_760
    assert figures["compile"] < 90 and figures["peak"] < 6 * GIGA
    assert figures["artefact"] < 75_000_000
    assert figures["save"] < 3 and figures["load"] < 3
