"""Scores of texts under a model: log-likelihoods by token, span, segment and text."""

from jaxlm.scoring._causal import causal_log_probs, next_token_log_probs
from jaxlm.scoring._conditional import Conditional
from jaxlm.scoring._engine import Engine, EngineConfig, Work, score_pieces
from jaxlm.scoring._job import JobConfig, JobFinished, JobProgress, read_parts, run_job
from jaxlm.scoring._log_likelihood import log_likelihood, span_mask
from jaxlm.scoring._log_likelihood_measure import LogLikelihood
from jaxlm.scoring._measure import Context, Measure, Needs, Planned, ScoreError
from jaxlm.scoring._measures import MEASURES
from jaxlm.scoring._pieces import Piece, PieceScores
from jaxlm.scoring._rank_correlation import Interval, bootstrap_interval, spearman
from jaxlm.scoring._scorer import Score, Scorer, make_scorer, score
from jaxlm.scoring._sources import Source, file_source
from jaxlm.scoring._windows import Window, windows

__all__ = [
    "MEASURES",
    "Conditional",
    "Context",
    "Engine",
    "EngineConfig",
    "Interval",
    "JobConfig",
    "JobFinished",
    "JobProgress",
    "LogLikelihood",
    "Measure",
    "Needs",
    "Piece",
    "PieceScores",
    "Planned",
    "Score",
    "ScoreError",
    "Scorer",
    "Source",
    "Window",
    "Work",
    "bootstrap_interval",
    "causal_log_probs",
    "file_source",
    "log_likelihood",
    "make_scorer",
    "next_token_log_probs",
    "read_parts",
    "run_job",
    "score",
    "score_pieces",
    "span_mask",
    "spearman",
    "windows",
]
