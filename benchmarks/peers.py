"""Who is timed: a table, and for each a small function that loads the network and returns what runs it once.

A loader gets the files of a network, the batch size and the number of threads. Every loader runs in a process of its
own, which imports only what this peer needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.networks import ARTEFACT, BULK, FLOAT, STATE, Files, trained

LAVA_SAMPLES = 16


@dataclass(frozen=True)
class Loaded:
    """A network that is ready: `run` gives logits [N, classes] in the float model's unit.

    runtime: what runs it, in which version.  repeats: how many times a call runs the images.
    idle: CPU and wall seconds of a call that are not its work.
    """

    run: Callable[[], NDArray[Any]]
    runtime: str
    repeats: int = 1
    idle: tuple[float, float] = (0.0, 0.0)


Loader = Callable[[Files, int, int], Loaded]


@dataclass(frozen=True)
class Peer:
    """A runtime with its settings. `file` is what it loads, `package` what has to be installed.

    integer: its logits have to equal those of the other integer peers.  small: it takes only the demo's networks.
    slices: it cuts a batch of any size itself.
    """

    label: str
    precision: str
    load: Loader
    file: str
    package: str
    integer: bool = False
    small: bool = False
    slices: bool = False

    def absent(self, network: str, batch: int) -> str:
        """Why it cannot be measured, or nothing."""
        if find_spec(self.package) is None:
            return f"not installed: the Python package {self.package}"
        if self.small and not trained(network):
            return "not run: hours an image"
        return "not run: too many images at once" if batch > BULK and not self.slices else ""


def release(package: str) -> str:
    """The package with its version."""
    return f"{package} {version(package)}"


def native(files: Files, batch: int, threads: int) -> Loaded:
    """The native backend, called as users call it: pixels in, logits out."""
    import neurodeploy as nd
    from neurodeploy.backends.native import engine

    deployed, images = nd.load(files.path(ARTEFACT)), files.images(batch)
    name = f"{release('neurodeploy')}, path {engine.path()}"
    return Loaded(lambda: _scaled(deployed.run(images, "native", threads=threads)), name)


def artefact(files: Files, batch: int, threads: int) -> Loaded:
    """ONNX Runtime on the artefact, as the backend onnx slices it: a thread for each slice."""
    import neurodeploy as nd

    deployed, images = nd.load(files.path(ARTEFACT)), files.images(batch)
    return Loaded(lambda: _scaled(deployed.run(images, "onnx", threads=threads)), release("onnxruntime"))


def lava(files: Files, batch: int, threads: int) -> Loaded:
    """Lava's one-process simulator. Its process starts anew in every call: what one image less takes is set off."""
    import neurodeploy as nd
    from benchmarks.clock import timed
    from neurodeploy.backends.lava import environment

    found = environment.find()
    deployed, images = nd.load(files.path(ARTEFACT)), files.images(batch)
    repeats = max(1, LAVA_SAMPLES // batch)
    many = np.concatenate([images] * repeats)
    deployed.run(images[:1], "lava")  # finds its environment, lowers the network
    start, _ = timed(lambda: deployed.run(images[:1], "lava"))
    whole, _ = timed(lambda: deployed.run(many, "lava"))
    share = len(many) / (len(many) - 1)
    idle = tuple(max(0.0, total - (total - first) * share) for first, total in zip(start, whole, strict=True))
    name = f"lava-nc {found.lava}, numpy {found.numpy}, Python {found.version}"
    return Loaded(lambda: _scaled(deployed.run(many, "lava"))[: len(images)], name, repeats, (idle[0], idle[1]))


def _scaled(result: Any) -> NDArray[np.float64]:
    return result.logits * np.float64(result.scale)


def authors(files: Files, batch: int, threads: int) -> Loaded:
    """The authors' PyTorch code form: their modules and operations, SpikingJelly's neurons, its torch backend."""
    import torch
    from spikingjelly.activation_based import functional

    torch.set_num_threads(threads)
    model, images = files.model(), torch.from_numpy(files.images(batch))

    def run() -> NDArray[Any]:
        with torch.inference_mode():
            functional.reset_net(model)
            return np.asarray(model(images))

    return Loaded(run, f"{release('torch')}, {release('spikingjelly')}")


def pytorch(form: str, files: Files, batch: int, threads: int) -> Loaded:
    """PyTorch with folded BatchNorms, as it stands, or channels_last, bfloat16, compiled."""
    import torch

    from benchmarks.floats import folded

    torch.set_num_threads(threads)
    images, model = torch.from_numpy(files.images(batch)), folded(files.model())
    if form == "channels_last":
        images, model = (part.to(memory_format=torch.channels_last) for part in (images, model))
    if form == "bfloat16":
        images, model = images.bfloat16(), model.bfloat16()
    if form == "compiled":  # exported first, so that it is one graph whatever Python stands in the model
        model = torch.compile(torch.export.export(model, (images,)).module(), fullgraph=True)

    def call() -> NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(model(images).float())

    return Loaded(call, release("torch"))


def onnxruntime(files: Files, batch: int, threads: int) -> Loaded:
    """ONNX Runtime on the float network of fixed batch size."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = runtime.InferenceSession(files.path(FLOAT, batch), options, providers=["CPUExecutionProvider"])
    images = files.images(batch)
    return Loaded(lambda: session.run(["logits"], {"images": images})[0], release("onnxruntime"))


def openvino(precision: str, files: Files, batch: int, threads: int) -> Loaded:
    """OpenVINO on the float network of fixed batch size, one stream."""
    import openvino as runtime

    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": precision}
    compiled = runtime.Core().compile_model(str(files.path(FLOAT, batch)), "CPU", settings)
    request, images = compiled.create_infer_request(), files.images(batch)
    return Loaded(lambda: np.array(request.infer({0: images}, share_inputs=True)[0]), release("openvino"))


PEERS: Mapping[str, Peer] = {
    "native": Peer("neurodeploy, native", "int8", native, ARTEFACT, "neurodeploy", integer=True, slices=True),
    "authors": Peer("PyTorch, the authors' code form", "float32", authors, STATE, "torch"),
    "torch": Peer("PyTorch, folded", "float32", partial(pytorch, "plain"), STATE, "torch"),
    "torch_channels_last": Peer(
        "PyTorch, folded, channels_last", "float32", partial(pytorch, "channels_last"), STATE, "torch"
    ),
    "torch_bf16": Peer("PyTorch, folded", "bfloat16", partial(pytorch, "bfloat16"), STATE, "torch"),
    "torch_compile": Peer("PyTorch, folded, torch.compile", "float32", partial(pytorch, "compiled"), STATE, "torch"),
    "ort": Peer("ONNX Runtime", "float32", onnxruntime, FLOAT, "onnxruntime"),
    "ort_artefact": Peer(
        "ONNX Runtime on our artefact", "int8", artefact, ARTEFACT, "onnxruntime", integer=True, slices=True
    ),
    "openvino": Peer("OpenVINO", "float32", partial(openvino, "f32"), FLOAT, "openvino"),
    "openvino_bf16": Peer("OpenVINO", "bfloat16", partial(openvino, "bf16"), FLOAT, "openvino"),
    "lava": Peer("Lava, one-process simulator", "int8", lava, ARTEFACT, "neurodeploy", integer=True, small=True),
}
