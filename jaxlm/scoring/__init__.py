"""Scores of texts under a model: log-likelihoods by token, span, segment and text."""

from jaxlm.scoring._causal import causal_log_probs, next_token_log_probs
from jaxlm.scoring._log_likelihood import log_likelihood, span_mask
from jaxlm.scoring._rank_correlation import Interval, bootstrap_interval, spearman

__all__ = [
    "Interval",
    "bootstrap_interval",
    "causal_log_probs",
    "log_likelihood",
    "next_token_log_probs",
    "span_mask",
    "spearman",
]
