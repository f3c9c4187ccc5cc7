"""Attribution: how much each input token moved each prediction of a model, by any step function."""

from jaxlm.attribution._attention import HeadAttention, attention_rollout, attention_weights, head_attention
from jaxlm.attribution._faithfulness import (
    FaithfulnessCurve,
    comprehensiveness,
    deletion_curve,
    insertion_curve,
    sufficiency,
)
from jaxlm.attribution._hotflip import Flips, flip_tokens
from jaxlm.attribution._input_reduction import Reductions, reduce_inputs
from jaxlm.attribution._method import Method, Task
from jaxlm.attribution._patching import Patching, activation_patching
from jaxlm.attribution._predictions import InputScores, Predictions, Sides
from jaxlm.attribution._table import METHODS
from jaxlm.attribution._value_zeroing import LayerZeroing, layer_value_zeroing, value_zeroing
from jaxlm.attribution.results import Attribution

__all__ = [
    "METHODS",
    "Attribution",
    "FaithfulnessCurve",
    "Flips",
    "HeadAttention",
    "InputScores",
    "LayerZeroing",
    "Method",
    "Patching",
    "Predictions",
    "Reductions",
    "Sides",
    "Task",
    "activation_patching",
    "attention_rollout",
    "attention_weights",
    "comprehensiveness",
    "deletion_curve",
    "flip_tokens",
    "head_attention",
    "insertion_curve",
    "layer_value_zeroing",
    "reduce_inputs",
    "sufficiency",
    "value_zeroing",
]
