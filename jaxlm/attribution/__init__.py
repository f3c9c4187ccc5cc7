"""Attribution: how much each input token moved each prediction of a model, by any step function."""

from jaxlm.attribution._attacked_texts import FlippedText, ReducedText, flip_texts, reduce_texts
from jaxlm.attribution._attention import HeadAttention, attention_rollout, attention_weights, head_attention
from jaxlm.attribution._attention_methods import AttentionRollout, AttentionWeights, ValueZeroing
from jaxlm.attribution._attribute import attribute
from jaxlm.attribution._baselines import BASELINES, Baseline
from jaxlm.attribution._deeplift import DeepLift, deeplift
from jaxlm.attribution._faithfulness import (
    FaithfulnessCurve,
    comprehensiveness,
    deletion_curve,
    insertion_curve,
    sufficiency,
)
from jaxlm.attribution._hotflip import Flips, flip_tokens
from jaxlm.attribution._input_reduction import Reductions, reduce_inputs
from jaxlm.attribution._integrated_gradients import (
    ALLENNLP_INTEGRATED_GRADIENTS,
    IntegratedGradients,
    integrated_gradients,
)
from jaxlm.attribution._method import Method, MethodTask
from jaxlm.attribution._occlusion import LeaveOneOut, Occlusion, leave_one_out, occlusion
from jaxlm.attribution._patching import Patching, activation_patching
from jaxlm.attribution._paths import quadrature
from jaxlm.attribution._predictions import Counts, InputScores, Predictions, Sides
from jaxlm.attribution._removal import removal_values
from jaxlm.attribution._saliency import InputXGradient, Saliency, input_x_gradient, saliency
from jaxlm.attribution._smooth_grad import ALLENNLP_SMOOTH_GRAD, SmoothGrad, smooth_grad
from jaxlm.attribution._table import METHODS
from jaxlm.attribution._value_zeroing import LayerZeroing, layer_value_zeroing, value_zeroing
from jaxlm.attribution.results import (
    Attribution,
    aggregate,
    attribution_as_json,
    difference,
    html_page,
    merge_spans,
    merge_words,
    normalize_scores,
    open_attributions,
    over_width,
    rescale_scores,
    save_attributions,
    select,
    token_words,
)

__all__ = [
    "ALLENNLP_INTEGRATED_GRADIENTS",
    "ALLENNLP_SMOOTH_GRAD",
    "BASELINES",
    "METHODS",
    "AttentionRollout",
    "AttentionWeights",
    "Attribution",
    "Baseline",
    "Counts",
    "DeepLift",
    "FaithfulnessCurve",
    "FlippedText",
    "Flips",
    "HeadAttention",
    "InputScores",
    "InputXGradient",
    "IntegratedGradients",
    "LayerZeroing",
    "LeaveOneOut",
    "Method",
    "MethodTask",
    "Occlusion",
    "Patching",
    "Predictions",
    "ReducedText",
    "Reductions",
    "Saliency",
    "Sides",
    "SmoothGrad",
    "ValueZeroing",
    "activation_patching",
    "aggregate",
    "attention_rollout",
    "attention_weights",
    "attribute",
    "attribution_as_json",
    "comprehensiveness",
    "deeplift",
    "deletion_curve",
    "difference",
    "flip_texts",
    "flip_tokens",
    "head_attention",
    "html_page",
    "input_x_gradient",
    "insertion_curve",
    "integrated_gradients",
    "layer_value_zeroing",
    "leave_one_out",
    "merge_spans",
    "merge_words",
    "normalize_scores",
    "occlusion",
    "open_attributions",
    "over_width",
    "quadrature",
    "reduce_inputs",
    "reduce_texts",
    "removal_values",
    "rescale_scores",
    "saliency",
    "save_attributions",
    "select",
    "smooth_grad",
    "sufficiency",
    "token_words",
    "value_zeroing",
]
