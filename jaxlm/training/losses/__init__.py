"""The loss of a batch, the metrics of its predictions, and what both know before a step is compiled."""

from jaxlm.training.losses._evaluation import (
    log_frequencies,
    summarize,
    summarize_sequences,
    unigram_log_probs,
)
from jaxlm.training.losses._loss import (
    HeadCall,
    HeadSums,
    LossFunction,
    LossInputs,
    count_true,
    loss_function,
    model_positions,
    named_rng,
)
from jaxlm.training.losses._loss_config import LossConfig
from jaxlm.training.losses._setting import Setting, Split, model_noise, position_options
from jaxlm.training.losses._summaries import label_summary, token_summary
from jaxlm.training.losses._token_loss import (
    Smoothing,
    check_smoothing,
    resolved_smoothing,
    token_evaluation,
    token_loss,
    token_loss_function,
    with_unigrams,
)
from jaxlm.training.losses._token_metrics import TokenSummary, summarize_tokens, token_metrics
from jaxlm.training.losses._token_plan import TokenPlan, token_plan

__all__ = [
    "HeadCall",
    "HeadSums",
    "LossConfig",
    "LossFunction",
    "LossInputs",
    "Setting",
    "Smoothing",
    "Split",
    "TokenPlan",
    "TokenSummary",
    "check_smoothing",
    "count_true",
    "label_summary",
    "log_frequencies",
    "loss_function",
    "model_noise",
    "model_positions",
    "named_rng",
    "position_options",
    "resolved_smoothing",
    "summarize",
    "summarize_sequences",
    "summarize_tokens",
    "token_evaluation",
    "token_loss",
    "token_loss_function",
    "token_metrics",
    "token_plan",
    "token_summary",
    "unigram_log_probs",
    "with_unigrams",
]
