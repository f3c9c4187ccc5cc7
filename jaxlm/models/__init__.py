"""Flax linen transformers: config, presets, the body, and models with their heads apart."""

from jaxlm.models._body_model import BodyModel
from jaxlm.models._build import MODELS, Heads, Model, ObjectiveName, build, num_params
from jaxlm.models._cache import EMPTY, Cache, LayerCache, Memory, empty_cache
from jaxlm.models._config import GATED, TransformerConfig, from_dict, longest_text, to_dict
from jaxlm.models._config_checks import DROPOUTS, MOST_LAYERS
from jaxlm.models._ensembles import (
    BODY,
    EnsembleOutput,
    EnsemblePrediction,
    EnsembleValues,
    ensemble_output,
    over_members,
    predict_classes,
    predict_tokens,
    predict_values,
)
from jaxlm.models._head_config import HeadConfig, head_from_dict
from jaxlm.models._head_projection import HeadProjection, head_projection
from jaxlm.models._inputs import Inputs
from jaxlm.models._interventions import Intervention
from jaxlm.models._language_models import CausalLM, MaskedLM, TokenHead
from jaxlm.models._multi_head import HeadKind, MultiHeadModel, head_params
from jaxlm.models._presets import PRESETS
from jaxlm.models._seq2seq import Seq2SeqLM
from jaxlm.models._sequence_model import SequenceModel, StandardizedOutputs
from jaxlm.models._sides import decoder_config, encoder_config
from jaxlm.models._sites import Site
from jaxlm.models._stacking import BODIES, stack_blocks, unstack_blocks
from jaxlm.models._transformer import Output, Transformer

__all__ = [
    "BODIES",
    "BODY",
    "DROPOUTS",
    "EMPTY",
    "GATED",
    "MODELS",
    "MOST_LAYERS",
    "PRESETS",
    "BodyModel",
    "Cache",
    "CausalLM",
    "EnsembleOutput",
    "EnsemblePrediction",
    "EnsembleValues",
    "HeadConfig",
    "HeadKind",
    "HeadProjection",
    "Heads",
    "Inputs",
    "Intervention",
    "LayerCache",
    "MaskedLM",
    "Memory",
    "Model",
    "MultiHeadModel",
    "ObjectiveName",
    "Output",
    "Seq2SeqLM",
    "SequenceModel",
    "Site",
    "StandardizedOutputs",
    "TokenHead",
    "Transformer",
    "TransformerConfig",
    "build",
    "decoder_config",
    "empty_cache",
    "encoder_config",
    "ensemble_output",
    "from_dict",
    "head_from_dict",
    "head_params",
    "head_projection",
    "longest_text",
    "num_params",
    "over_members",
    "predict_classes",
    "predict_tokens",
    "predict_values",
    "stack_blocks",
    "to_dict",
    "unstack_blocks",
]
