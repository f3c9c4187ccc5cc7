"""Language models in JAX: train, score, decode, explain.

The rooms are the submodules (`jaxlm.models`, `jaxlm.corruption`, `jaxlm.training`, ...); each is imported at
first use, so that `import jaxlm` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

ROOMS = (
    "cli",
    "corruption",
    "data",
    "decoding",
    "devices",
    "errors",
    "io",
    "models",
    "ops",
    "pretrained",
    "reports",
    "scoring",
    "steps",
    "tokenizers",
    "training",
    "typing",
)


def __getattr__(name: str) -> Any:
    if name in ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its rooms are {', '.join(ROOMS)}")


def __dir__() -> list[str]:
    return [*ROOMS, "__version__"]
