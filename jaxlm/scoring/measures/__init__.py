"""What is asked of a model about a document, and the row that its answers make."""

from jaxlm.scoring.measures._byte_log_likelihood import ByteLogLikelihood
from jaxlm.scoring.measures._conditional import Conditional
from jaxlm.scoring.measures._embedding import Embedding
from jaxlm.scoring.measures._instruction_ratio import InstructionRatio
from jaxlm.scoring.measures._log_likelihood import log_likelihood, segment_log_likelihood, span_mask
from jaxlm.scoring.measures._log_likelihood_measure import LogLikelihood
from jaxlm.scoring.measures._masked_checks import check_choices, check_vocabulary, mask_id_of, too_long_error
from jaxlm.scoring.measures._masked_spans import JoinedQueries, MaskedSpans, mask_each_token
from jaxlm.scoring.measures._masked_texts import MaskedText, masked_text, window_start, word_numbers
from jaxlm.scoring.measures._measure import (
    Context,
    DocumentBlock,
    Measure,
    Question,
    Round,
    ScoreError,
    ScoreRow,
    nats,
)
from jaxlm.scoring.measures._openings import usual_frame
from jaxlm.scoring.measures._prediction import Prediction
from jaxlm.scoring.measures._pseudo_log_likelihood import PseudoLogLikelihood
from jaxlm.scoring.measures._rounds import generation_size, rows_in_rounds
from jaxlm.scoring.measures._single_pass import SinglePass, noise_shares
from jaxlm.scoring.measures._step_scores_measure import StepScores
from jaxlm.scoring.measures._vocabularies import Vocabulary, vocabulary_ids
from jaxlm.scoring.measures._windows import LongPolicy, Window, windows

__all__ = [
    "ByteLogLikelihood",
    "Conditional",
    "Context",
    "DocumentBlock",
    "Embedding",
    "InstructionRatio",
    "JoinedQueries",
    "LogLikelihood",
    "LongPolicy",
    "MaskedSpans",
    "MaskedText",
    "Measure",
    "Prediction",
    "PseudoLogLikelihood",
    "Question",
    "Round",
    "ScoreError",
    "ScoreRow",
    "SinglePass",
    "StepScores",
    "Vocabulary",
    "Window",
    "check_choices",
    "check_vocabulary",
    "generation_size",
    "log_likelihood",
    "mask_each_token",
    "mask_id_of",
    "masked_text",
    "nats",
    "noise_shares",
    "rows_in_rounds",
    "segment_log_likelihood",
    "span_mask",
    "too_long_error",
    "usual_frame",
    "vocabulary_ids",
    "window_start",
    "windows",
    "word_numbers",
]
