"""Attribution: how much each input token moved each prediction of a model, by any step function."""

from jaxlm.attribution._attribute import attribute
from jaxlm.attribution._baselines import BASELINES, Baseline
from jaxlm.attribution._deeplift import DeepLift, deeplift
from jaxlm.attribution._integrated_gradients import (
    ALLENNLP_INTEGRATED_GRADIENTS,
    IntegratedGradients,
    integrated_gradients,
)
from jaxlm.attribution._method import Method, Task
from jaxlm.attribution._occlusion import LeaveOneOut, Occlusion, leave_one_out, occlusion
from jaxlm.attribution._paths import quadrature
from jaxlm.attribution._predictions import Counts, InputScores, Predictions, Sides
from jaxlm.attribution._saliency import InputXGradient, Saliency, input_x_gradient, saliency
from jaxlm.attribution._smooth_grad import ALLENNLP_SMOOTH_GRAD, SmoothGrad, smooth_grad
from jaxlm.attribution._table import METHODS
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
    "Attribution",
    "Baseline",
    "Counts",
    "DeepLift",
    "InputScores",
    "InputXGradient",
    "IntegratedGradients",
    "LeaveOneOut",
    "Method",
    "Occlusion",
    "Predictions",
    "Saliency",
    "Sides",
    "SmoothGrad",
    "Task",
    "aggregate",
    "attribute",
    "attribution_as_json",
    "deeplift",
    "difference",
    "html_page",
    "input_x_gradient",
    "integrated_gradients",
    "leave_one_out",
    "merge_spans",
    "merge_words",
    "normalize_scores",
    "occlusion",
    "open_attributions",
    "over_width",
    "quadrature",
    "rescale_scores",
    "saliency",
    "save_attributions",
    "select",
    "smooth_grad",
    "token_words",
]
