"""What a run trains: what each objective reads and predicts of a batch, its loss and its scores."""

from jaxlm.training.objectives._causal import causal_lm_loss, prepare_next, shift_batch
from jaxlm.training.objectives._labels import Examples, batch_examples, prepare_labels
from jaxlm.training.objectives._masked import (
    Masking,
    make_masking,
    mask_batch,
    masked_lm_loss,
    prepare_masked,
)
from jaxlm.training.objectives._objective import READ_FIELDS, Objective
from jaxlm.training.objectives._objectives import (
    MASKED_TOKENS,
    NEXT_TOKENS,
    OBJECTIVES,
    as_objective,
    named_objective,
    objective_of,
)
from jaxlm.training.objectives._sequence import (
    class_evaluation,
    class_loss,
    classification_loss,
    regression_loss,
    sequence_outputs,
    smoothed_cross_entropy,
    value_loss,
)
from jaxlm.training.objectives._span_corruption import (
    SpanPlan,
    corrupt_span_batch,
    make_span_plan,
    prepare_spans,
    shift_right,
    span_corruption_loss,
    target_capacity,
)

__all__ = [
    "MASKED_TOKENS",
    "NEXT_TOKENS",
    "OBJECTIVES",
    "READ_FIELDS",
    "Examples",
    "Masking",
    "Objective",
    "SpanPlan",
    "as_objective",
    "batch_examples",
    "causal_lm_loss",
    "class_evaluation",
    "class_loss",
    "classification_loss",
    "corrupt_span_batch",
    "make_masking",
    "make_span_plan",
    "mask_batch",
    "masked_lm_loss",
    "named_objective",
    "objective_of",
    "prepare_labels",
    "prepare_masked",
    "prepare_next",
    "prepare_spans",
    "regression_loss",
    "sequence_outputs",
    "shift_batch",
    "shift_right",
    "smoothed_cross_entropy",
    "span_corruption_loss",
    "target_capacity",
    "value_loss",
]
