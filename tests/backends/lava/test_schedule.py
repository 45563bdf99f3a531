"""In one process, a Lava process runs in the steps in which a sample is in it, and no other."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.lava import emit
from tests.backends.lava.graphs import every_kind, images_of

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from runtime import build, inprocess, network, record

net = network.load(Path(sys.argv[1]))
frames = net.frames(np.load(sys.argv[2]))
recorder = record.Recorder(net, len(frames), tuple(net.probes))
lava = build.build(net, frames, recorder.populations, sinks=False, conv="unrolled")
steps, make, models = {}, inprocess._models, {}

def counted(lava):
    models.update(make(lava))
    for process, model in models.items():
        steps[process] = []
        def run(run=model.run_spk, seen=steps[process], model=model):
            seen.append(model.time_step)
            run()
        model.run_spk = run
    return models

inprocess._models = counted
late = list(lava.late)
before = [process.weights.init.nnz for process in late]
inprocess.run(lava, recorder, lambda done, total: None)
neurons = {name: steps.pop(process) for name, process in lava.processes.items()}
gone = [models[process].weights is None for process in late]
print(json.dumps({"neurons": neurons, "synapses": list(steps.values()), "before": before, "gone": gone}))
"""


@pytest.mark.lava
def test_a_process_rests_while_no_sample_is_in_it(lava_python: Path, tmp_path: Path) -> None:
    graph = every_kind(0)
    np.save(tmp_path / "images.npy", images_of(graph, 2))
    folder = emit.export(graph, tmp_path / "net")
    command = [str(lava_python), "-c", SCRIPT, str(folder), str(tmp_path / "images.npy")]
    seen = json.loads(subprocess.run(command, check=True, cwd=tmp_path, timeout=300, capture_output=True).stdout)
    count = 2 * graph.steps
    for p in graph.populations:
        assert seen["neurons"][p.name] == list(range(1 + p.depth, 1 + p.depth + count)), p.name
    spans = [(graph.by_name[c.source].depth, graph.by_name[c.target].depth) for c in graph.crossbars]
    wanted = [list(range(1 + first, 1 + last + count)) for first, last in spans]
    assert sorted(seen["synapses"]) == sorted(wanted)
    assert (seen["before"], seen["gone"]) == ([0] * 3, [True] * 3)  # three convolutions
