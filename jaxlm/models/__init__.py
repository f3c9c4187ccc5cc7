"""Flax linen transformers: config, presets, the body, and models with their heads apart."""

from jaxlm.models._apply import apply_head, apply_model, apply_token_vectors
from jaxlm.models._body_model import BodyModel
from jaxlm.models._build import build, num_params
from jaxlm.models._cache import EMPTY_SLOT, Cache, LayerCache, Memory, empty_cache
from jaxlm.models._config import (
    ResolvedConfig,
    TransformerConfig,
    flat_config,
    from_dict,
    longest_text,
    to_dict,
)
from jaxlm.models._config_checks import DROPOUTS
from jaxlm.models._config_parts import GATED, MAX_LAYERS, DecoderConfig, LinearHead, TransformHead
from jaxlm.models._encoder_decoder import decoder_config, encoder_config
from jaxlm.models._ensembles import (
    EnsembleOutput,
    EnsemblePrediction,
    EnsembleValues,
    ensemble_output,
    map_members,
    predict_classes,
    predict_tokens,
    predict_values,
)
from jaxlm.models._evaluations import Evaluation, LevelSummary, SequenceEvaluation
from jaxlm.models._head_config import HeadConfig, head_from_dict
from jaxlm.models._head_projection import HeadProjection, head_projection
from jaxlm.models._inputs import Inputs
from jaxlm.models._interventions import Intervention
from jaxlm.models._kinds import BODY_ALONE, CLASSIFICATION, JOINT, KINDS, REGRESSION, Heads, Model, as_kind
from jaxlm.models._language_models import CausalLM, MaskedLM, TokenHead
from jaxlm.models._model_kind import CAUSAL_LM, MASKED_LM, SEQ2SEQ_LM, KindOrName, ModelKind, Question
from jaxlm.models._multi_head import TOKEN_HEADS, HeadKind, MultiHeadModel, head_params
from jaxlm.models._position import (
    TABLE_POSITIONS,
    Instruction,
    Learned,
    NoPosition,
    Relative,
    Rotary,
    Sinusoidal,
)
from jaxlm.models._presets import PRESETS
from jaxlm.models._rotary_scaling import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    NoScaling,
    YarnScaling,
)
from jaxlm.models._seq2seq import Seq2SeqLM
from jaxlm.models._sequence_model import SequenceModel, StandardizedOutputs
from jaxlm.models._sites import Site
from jaxlm.models._stacking import BODIES, BODY, stack_blocks, unstack_blocks
from jaxlm.models._transformer import Output, Transformer

__all__ = [
    "BODIES",
    "BODY",
    "BODY_ALONE",
    "CAUSAL_LM",
    "CLASSIFICATION",
    "DROPOUTS",
    "EMPTY_SLOT",
    "GATED",
    "JOINT",
    "KINDS",
    "MASKED_LM",
    "MAX_LAYERS",
    "PRESETS",
    "REGRESSION",
    "SEQ2SEQ_LM",
    "TABLE_POSITIONS",
    "TOKEN_HEADS",
    "BodyModel",
    "Cache",
    "CausalLM",
    "DecoderConfig",
    "DynamicScaling",
    "EnsembleOutput",
    "EnsemblePrediction",
    "EnsembleValues",
    "Evaluation",
    "HeadConfig",
    "HeadKind",
    "HeadProjection",
    "Heads",
    "Inputs",
    "Instruction",
    "Intervention",
    "KindOrName",
    "LayerCache",
    "Learned",
    "LevelSummary",
    "LinearHead",
    "LinearScaling",
    "Llama3Scaling",
    "MaskedLM",
    "Memory",
    "Model",
    "ModelKind",
    "MultiHeadModel",
    "NoPosition",
    "NoScaling",
    "Output",
    "Question",
    "Relative",
    "ResolvedConfig",
    "Rotary",
    "Seq2SeqLM",
    "SequenceEvaluation",
    "SequenceModel",
    "Sinusoidal",
    "Site",
    "StandardizedOutputs",
    "TokenHead",
    "TransformHead",
    "Transformer",
    "TransformerConfig",
    "YarnScaling",
    "apply_head",
    "apply_model",
    "apply_token_vectors",
    "as_kind",
    "build",
    "decoder_config",
    "empty_cache",
    "encoder_config",
    "ensemble_output",
    "flat_config",
    "from_dict",
    "head_from_dict",
    "head_params",
    "head_projection",
    "longest_text",
    "map_members",
    "num_params",
    "predict_classes",
    "predict_tokens",
    "predict_values",
    "stack_blocks",
    "to_dict",
    "unstack_blocks",
]
