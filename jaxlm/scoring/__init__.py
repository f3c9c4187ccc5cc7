"""Scores of texts under a model: log-likelihoods by token, span, segment and text."""

from jaxlm.scoring._causal import causal_log_probs, next_token_log_probs
from jaxlm.scoring._job import JobConfig, JobFinished, JobProgress, read_parts, run_job
from jaxlm.scoring._log_likelihood import log_likelihood, span_mask
from jaxlm.scoring._measure import ScoreError
from jaxlm.scoring._rank_correlation import Interval, bootstrap_interval, spearman
from jaxlm.scoring._sources import Source, file_source

__all__ = [
    "Interval",
    "JobConfig",
    "JobFinished",
    "JobProgress",
    "ScoreError",
    "Source",
    "bootstrap_interval",
    "causal_log_probs",
    "file_source",
    "log_likelihood",
    "next_token_log_probs",
    "read_parts",
    "run_job",
    "span_mask",
    "spearman",
]
