"""Currents that last and delays of the network in Lava, samples back to back: no spike goes on to the next one."""

from __future__ import annotations

import pytest

from neurodeploy.backends.lava import backend
from neurodeploy.ir.passes import remove_dead
from neurodeploy.mapping import lower
from tests.backends.lava.test_families import assert_same
from tests.delayed_graphs import channels, pixels

pytestmark = pytest.mark.lava


@pytest.mark.parametrize(("delays", "graded"), [((0, 2, 4), False), ((3, 1, 9), True)])
@pytest.mark.parametrize("runtime", ["inprocess", "multiprocess"])
def test_delays_a_channel(delays: tuple[int, ...], graded: bool, runtime: backend.Runtime) -> None:
    graph = remove_dead(channels(5, delays, graded))
    images = pixels(graph)
    given = backend.run(lower(graph), images, "all", runtime=runtime, timeout=300)
    assert_same(graph, images, given)
    assert all(0 < spikes.mean() < 1 for spikes in given.spikes.values())
