"""Step functions: what a model predicted at a position, as one number for each prediction."""

from jaxlm.steps._alignment import align, check_alignment
from jaxlm.steps._contrast import Contrast
from jaxlm.steps._contrast_functions import (
    contrast_logits,
    contrast_logits_diff,
    contrast_prob,
    contrast_prob_diff,
    in_context_pvi,
    kl_divergence,
    pcxmi,
)
from jaxlm.steps._forward import step_values, tile_size
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
    "StepFunction",
    "StepInputs",
    "TextScores",
    "align",
    "check_alignment",
    "contrast_logits",
    "contrast_logits_diff",
    "contrast_prob",
    "contrast_prob_diff",
    "crossentropy",
    "entropy",
    "in_context_pvi",
    "kl_divergence",
    "list_step_functions",
    "logit",
    "mc_dropout_prob_avg",
    "over_span",
    "parse_step_function",
    "pcxmi",
    "perplexity",
    "probability",
    "register_step_function",
    "step_function",
    "step_scores",
    "step_values",
    "tile_size",
    "top_p_size",
]
