"""neurodeploy: trained spiking transformers become bit-exact integer networks.

The public face is loaded on first use, so that ``import neurodeploy`` loads none of torch, onnxruntime, lava.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurodeploy.version import __version__

if TYPE_CHECKING:
    from neurodeploy.api import CompiledModel, compare, compile, evaluate, evaluate_crossbar, load
    from neurodeploy.compiling import sensitivity
    from neurodeploy.lava_dl import export_netx, load_netx, load_slayer
    from neurodeploy.tuning import finetune, prepare_finetuning

__all__ = [
    "CompiledModel",
    "__version__",
    "compare",
    "compile",
    "evaluate",
    "evaluate_crossbar",
    "export_netx",
    "finetune",
    "load",
    "load_netx",
    "load_slayer",
    "prepare_finetuning",
    "sensitivity",
]
_ELSEWHERE = {  # than in neurodeploy.api
    **dict.fromkeys(("finetune", "prepare_finetuning"), "neurodeploy.tuning"),
    **dict.fromkeys(("export_netx", "load_netx", "load_slayer"), "neurodeploy.lava_dl"),
    "sensitivity": "neurodeploy.compiling",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name in __all__:
        return getattr(import_module(_ELSEWHERE.get(name, "neurodeploy.api")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
