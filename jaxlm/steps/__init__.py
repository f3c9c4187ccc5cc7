"""Step functions: what a model predicted at a position, as one number for each prediction."""

from jaxlm.steps._alignment import align, check_alignment
from jaxlm.steps._contrast import Contrast, as_contrast
from jaxlm.steps._contrast_functions import (
    contrast_logits,
    contrast_logits_diff,
    contrast_prob,
    contrast_prob_diff,
    in_context_pvi,
    kl_divergence,
    pcxmi,
)
from jaxlm.steps._dropout_model import as_key
from jaxlm.steps._encoded_pairs import encode_pairs
from jaxlm.steps._encoded_texts import EncodedText, TextReader
from jaxlm.steps._forward import prediction_keys, step_values, tile_size
from jaxlm.steps._functions import (
    crossentropy,
    entropy,
    logit,
    mc_dropout_prob_avg,
    perplexity,
    probability,
    top_p_size,
)
from jaxlm.steps._inputs import StepInputs
from jaxlm.steps._layout import EncodedPair, ids_digest
from jaxlm.steps._parsing import parse_step_function
from jaxlm.steps._step_scores import TextScores, over_span, step_scores
from jaxlm.steps._table import (
    STEP_FUNCTIONS,
    StepFunction,
    list_step_functions,
    register_step_function,
    step_function,
)

__all__ = [
    "STEP_FUNCTIONS",
    "Contrast",
    "EncodedPair",
    "EncodedText",
    "StepFunction",
    "StepInputs",
    "TextReader",
    "TextScores",
    "align",
    "as_contrast",
    "as_key",
    "check_alignment",
    "contrast_logits",
    "contrast_logits_diff",
    "contrast_prob",
    "contrast_prob_diff",
    "crossentropy",
    "encode_pairs",
    "entropy",
    "ids_digest",
    "in_context_pvi",
    "kl_divergence",
    "list_step_functions",
    "logit",
    "mc_dropout_prob_avg",
    "over_span",
    "parse_step_function",
    "pcxmi",
    "perplexity",
    "prediction_keys",
    "probability",
    "register_step_function",
    "step_function",
    "step_scores",
    "step_values",
    "tile_size",
    "top_p_size",
]
