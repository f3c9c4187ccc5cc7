"""Scores of texts under a model: log-likelihoods by token, span, segment and text."""

from jaxlm.scoring._causal import causal_log_probs, next_token_log_probs
from jaxlm.scoring._conditional import Conditional
from jaxlm.scoring._device_rows import ContrastRows, DeviceRows
from jaxlm.scoring._engine import Engine, score_pieces
from jaxlm.scoring._engine_config import EngineConfig, Work
from jaxlm.scoring._finish import read_parts
from jaxlm.scoring._forward import LogProbForward
from jaxlm.scoring._forward_contract import Forward, ForwardSetting, hidden_states, query_sums
from jaxlm.scoring._harness import HarnessModel, register_harness
from jaxlm.scoring._instruction_ratio import InstructionRatio
from jaxlm.scoring._items import item_rows
from jaxlm.scoring._job import finish_writing, run_job
from jaxlm.scoring._job_config import JobConfig, JobFinished, JobProgress, RowScorer
from jaxlm.scoring._log_likelihood import log_likelihood, span_mask
from jaxlm.scoring._log_likelihood_measure import LogLikelihood
from jaxlm.scoring._masked_texts import word_numbers
from jaxlm.scoring._measure import Context, Measure, Round, ScoreError, ScoreRow, nats
from jaxlm.scoring._measures import MEASURES
from jaxlm.scoring._mutations import Substitution, Variant, parse_variant
from jaxlm.scoring._pieces import Piece, PieceContrast, PieceScores
from jaxlm.scoring._pseudo_log_likelihood import PseudoLogLikelihood
from jaxlm.scoring._rank_correlation import Interval, bootstrap_interval, spearman
from jaxlm.scoring._ray import run_ray_job
from jaxlm.scoring._score import Score
from jaxlm.scoring._scorer import Scorer, make_scorer, score
from jaxlm.scoring._single_pass import SinglePass, noise_shares
from jaxlm.scoring._sources import Source, file_source
from jaxlm.scoring._step_forward import StepForward
from jaxlm.scoring._step_scores_measure import StepScores
from jaxlm.scoring._variant_effect import VariantEffect
from jaxlm.scoring._variant_files import find_variant_column, read_wild_type
from jaxlm.scoring._variant_ranking import rank_variants
from jaxlm.scoring._windows import Window, windows

__all__ = [
    "MEASURES",
    "Conditional",
    "Context",
    "ContrastRows",
    "DeviceRows",
    "Engine",
    "EngineConfig",
    "Forward",
    "ForwardSetting",
    "HarnessModel",
    "InstructionRatio",
    "Interval",
    "JobConfig",
    "JobFinished",
    "JobProgress",
    "LogLikelihood",
    "LogProbForward",
    "Measure",
    "Piece",
    "PieceContrast",
    "PieceScores",
    "PseudoLogLikelihood",
    "Round",
    "RowScorer",
    "Score",
    "ScoreError",
    "ScoreRow",
    "Scorer",
    "SinglePass",
    "Source",
    "StepForward",
    "StepScores",
    "Substitution",
    "Variant",
    "VariantEffect",
    "Window",
    "Work",
    "bootstrap_interval",
    "causal_log_probs",
    "file_source",
    "find_variant_column",
    "finish_writing",
    "hidden_states",
    "item_rows",
    "log_likelihood",
    "make_scorer",
    "nats",
    "next_token_log_probs",
    "noise_shares",
    "parse_variant",
    "query_sums",
    "rank_variants",
    "read_parts",
    "read_wild_type",
    "register_harness",
    "run_job",
    "run_ray_job",
    "score",
    "score_pieces",
    "span_mask",
    "spearman",
    "windows",
    "word_numbers",
]
