"""`IntegerNetwork`: a PyTorch module whose forward pass computes a quantized graph, integer by integer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from spikingjelly.activation_based import surrogate as surrogates
from torch import Tensor, nn

from neurodeploy.errors import Finding, UnsupportedModelError, UsageError
from neurodeploy.finetuning import ops
from neurodeploy.finetuning.budgets import budgets
from neurodeploy.finetuning.grids import Bias, Weight
from neurodeploy.finetuning.layers import NUMBERS, Latents, Layer, Plan, Population, learnt_nodes
from neurodeploy.images import Images, check_images, slices
from neurodeploy.ir.graph import Graph, Node
from neurodeploy.ir.proof import require_proof
from neurodeploy.numerics import Int64

Watch = Callable[[str, Tensor, Tensor], None]  # a LIF's name, its spikes and its membranes after reset [T, N, *shape]
ALPHA = 4.0  # slope of the surrogate
MEASURED = ("spike_error", "membrane_error", "cumulative_error", "current_error", "current_error_nearest")
COMPUTED = {  # attributes and tensors that are computed here, of an op that may have more of them
    "lif": ({"vth", "dv", "du", "weight_exp", "bias_exp"}, {"bias_mant", "thresholds"}),
    "conv": ({"stride", "padding", "groups"}, {"weight"}),
}


class IntegerNetwork(nn.Module):
    """A quantized graph as a module: `network(images)` gives its logits, float32 [N, classes].

    graph: quantized and proven.  exact: what its integers were rounded from, by node, as the quantizer hands it out;
    without, training starts from the integers themselves.  surrogate: of SpikingJelly, on membranes in thresholds; the
    attribute of that name is its text.  finish: what `deploy` makes of the graph.

    Parameters are latent numbers: weights in weight units, biases in membrane units, that of the read-out in units of
    the integer logits. `groups` scales a learning rate to them; `project` is due after each step of an optimizer, and
    keeps the interval proof.
    Raises UnsupportedModelError with every node that cannot be computed, DoesNotFitError where the proof fails,
    UsageError for what is no surrogate.
    """

    def __init__(
        self,
        graph: Graph,
        exact: Latents | None = None,
        surrogate: nn.Module | None = None,
        finish: Callable[[Graph], Any] = lambda graph: graph,
    ) -> None:
        super().__init__()
        if findings := [finding for node in graph.nodes for finding in _unknown(node)]:
            raise UnsupportedModelError(findings)
        require_proof(graph)
        self.graph, self.finish = graph, finish
        convs, lifs = learnt_nodes(graph)
        learnt = frozenset({*convs, *lifs})
        shape = chosen_surrogate(surrogate)
        self.surrogate = repr(shape)
        plan = Plan(graph, exact, learnt, budgets(graph, convs, lifs), weight_bits(graph), shape)
        named = dict(plan.layers())
        self.layers = nn.ModuleList(named.values())
        self._place = {name: place for place, name in enumerate(named)}
        self._spent = _spent(graph)

    def layer(self, name: str) -> Layer:
        """The module of a node that holds numbers. Raises UsageError, which lists them, for any other name."""
        found = self.layers[self._place[name]] if name in self._place else None
        if not isinstance(found, Layer):
            need, mend = f"one of {', '.join(self._place)}", "pass one of these names"
            raise UsageError(Finding("ND-S015", "layer", need, f"{name!r:.80}", mend))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of images [N, C, H, W], or of event frames [N, T, C, H, W]."""
        return (self.integers(images) * self.graph.output_scale).float()

    def integers(self, images: Tensor | Images, watch: Watch | None = None) -> Tensor:
        """The integer logits, float64 [N, classes], of images or event frames, a tensor or an array.

        watch(name, spikes, membranes): called for every LIF with tensors [T, N, *shape], the membranes in membrane
        units after reset.
        Raises UsageError for an array of another shape, and for one of NaN.
        """
        given = images if isinstance(images, Tensor) else torch.from_numpy(check_images(images, self.graph.image_shape))
        values: dict[str, Tensor] = {}
        for node in self.graph.nodes:
            inputs = [values[name] for name in node.inputs] or [given]
            values[node.name] = self._value(node, inputs, watch)
            for name in self._spent[node.name]:
                del values[name]
        return values[self.graph.output]

    @torch.no_grad()
    def logits(self, images: Images | Tensor, batch: int = 64) -> Int64:
        """The integer logits int64 [N, classes] of images [N, C, H, W] or event frames, an array or a tensor.

        Raises UsageError as `neurodeploy.images.check_images`.
        """
        checked = check_images(images, self.graph.image_shape)
        parts = [self.integers(torch.from_numpy(chunk)) for _, chunk in slices(checked, batch)]
        return np.asarray(torch.cat(parts).numpy(), np.int64)

    def _value(self, node: Node, inputs: list[Tensor], watch: Watch | None) -> Tensor:
        if node.op not in NUMBERS:
            return ops.STATELESS[node.op](node, *inputs)
        layer = self.layer(node.name)
        found = layer(*inputs)
        if not isinstance(layer, Population):
            return torch.as_tensor(found)
        spikes, before = found
        if watch:
            watch(node.name, spikes, before.masked_fill(spikes != 0, 0))
        return torch.as_tensor(spikes)

    def groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer whose steps do not scale with the gradient (Adam and its like).

        The rate is a share: of a layer's root mean square weight, of a threshold for a bias, of a unit of the logits.
        """
        return [{"params": [part.latent], "lr": learning_rate * part.scale} for part in self.learnt()]

    @torch.no_grad()
    def project(self) -> int:
        """Bring the latent numbers back to where the interval proof holds; how many rows had left that region."""
        return sum(part.project() for part in self.learnt())

    def integer_graph(self) -> Graph:
        """The quantized graph with the integers as they are now. Raises DoesNotFitError where `project` is due."""
        nodes = {layer.node.name: layer.deployed() for layer in self._layers()}
        metadata = {**self.graph.metadata, "quantization": self._choices()}
        graph = replace(self.graph, nodes=tuple(nodes.get(n.name, n) for n in self.graph.nodes), metadata=metadata)
        require_proof(graph)
        return graph

    def deploy(self) -> Any:
        """What `finish` makes of `integer_graph`: a CompiledModel, where `prepare_finetuning` made the network."""
        return self.finish(self.integer_graph())

    def learnt(self) -> Iterator[Weight | Bias]:
        """The numbers that are learnt, in graph order."""
        return (layer.numbers for layer in self._layers() if isinstance(layer.numbers, Weight | Bias))

    def _layers(self) -> Iterator[Layer]:
        return (layer for layer in self.layers if isinstance(layer, Layer))

    def _choices(self) -> str:
        """The quantizer's notes, with what has changed in the layers."""
        entries = json.loads(self.graph.metadata.get("quantization", "[]"))
        return json.dumps([self._noted(entry) for entry in entries], sort_keys=True)

    def _noted(self, entry: dict[str, Any]) -> dict[str, Any]:
        if entry.get("kind") in ("pixels", "events"):  # the code of the input is as it was
            return entry
        kept = {key: value for key, value in entry.items() if key not in MEASURED}
        place = self._place.get(entry.get("layer", ""))
        numbers = None if place is None else self.layers[place].numbers
        return kept | {"rounding": "fine-tuned", **numbers.facts()} if isinstance(numbers, Weight) else kept


def chosen_surrogate(surrogate: object = None) -> nn.Module:
    """The surrogate, Sigmoid(4) for None. Raises UsageError for what is none, such as a class without numbers."""
    found = surrogates.Sigmoid(alpha=ALPHA) if surrogate is None else surrogate
    if isinstance(found, nn.Module):
        if not (wrong := _wrong_slopes(found)):
            return found
        need, have = "a surrogate of SpikingJelly: a spike and a slope for each number", f"{found!r:.80}: {wrong}"
    else:
        need, have = "an object, a surrogate of SpikingJelly", f"{found!r:.80}"
    mend = "pass one such as surrogate.ATan(2.0), or leave it out"
    raise UsageError(Finding("ND-S014", "surrogate", need, have, mend))


def _wrong_slopes(surrogate: nn.Module) -> str:
    """What is wrong with the gradient of two numbers and of three; "" where nothing is."""
    for values in ([-0.5, 0.5], [-0.5, 0.0, 0.5]):
        excess = torch.tensor(values)
        try:
            with torch.enable_grad():
                spikes = surrogate(excess.requires_grad_())
            torch.autograd.grad(spikes, excess, torch.ones_like(excess))
        except Exception as error:  # noqa: BLE001  (the user's module may raise anything)
            return f"{type(error).__name__}: {error}".splitlines()[0][:120]
    return ""


def weight_bits(graph: Graph) -> dict[str, int]:
    """The weight bits of each convolution, of the quantizer's notes; none where a graph has no such notes."""
    try:
        entries = json.loads(graph.metadata.get("quantization", "[]"))
        return {entry["layer"]: int(entry["weight_bits"]) for entry in entries if "weight_bits" in entry}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def _unknown(node: Node) -> Iterator[Finding]:
    """What this module cannot compute of a node."""
    mend = "run it as it was compiled, or train the model anew"
    if node.op not in {*NUMBERS, *ops.STATELESS} or not ops.known_rank(node):
        yield Finding("ND-S001", node.name, "an op that fine-tuning computes", node.op, mend, str(node.source))
        return
    attributes, tensors = COMPUTED.get(node.op, (set(node.attributes), set(node.tensors)))
    more = sorted({*node.attributes} - attributes) + sorted({*node.tensors} - tensors)
    if more:
        have = f"{node.op} with {', '.join(more)}"
        yield Finding("ND-S002", node.name, "what fine-tuning computes of this op", have, mend, str(node.source))


def _spent(graph: Graph) -> dict[str, list[str]]:
    """Node -> the values that it is the last to read, and itself where nothing reads it."""
    last = {node.name: node.name for node in graph.nodes if node.name != graph.output}
    last |= {name: node.name for node in graph.nodes for name in node.inputs}
    spent: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for name, reader in last.items():
        spent[reader].append(name)
    return spent
