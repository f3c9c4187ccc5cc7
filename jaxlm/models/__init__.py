"""Flax linen transformers: config, presets, the body, and language models with their heads apart."""

from jaxlm.models._config import TransformerConfig, from_dict, to_dict
from jaxlm.models._language_models import MODELS, CausalLM, MaskedLM, Objective, build, num_params
from jaxlm.models._presets import PRESETS
from jaxlm.models._stacking import stack_blocks, unstack_blocks
from jaxlm.models._transformer import Output, Transformer

__all__ = [
    "MODELS",
    "PRESETS",
    "CausalLM",
    "MaskedLM",
    "Objective",
    "Output",
    "Transformer",
    "TransformerConfig",
    "build",
    "from_dict",
    "num_params",
    "stack_blocks",
    "to_dict",
    "unstack_blocks",
]
