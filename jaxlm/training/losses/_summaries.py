"""From the sums of an evaluation to the scores that are shown and written to metrics.jsonl."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from jaxlm import data, tokenizers
from jaxlm.training.losses._evaluation import (
    Evaluation,
    SequenceEvaluation,
    baseline_loss,
    summarize,
    summarize_sequences,
)
from jaxlm.training.losses._setting import Setting


def token_summary(
    setting: Setting, *, train: data.TokenCache | None = None, is_whole: bool = True
) -> Callable[[Mapping[str, Any]], Evaluation | None]:
    """Returns a function from the sums of a split to the scores of a language model.

    Args:
      setting: the setting of the evaluation, which has one split.
      train: the training split, which is not used here.
      is_whole: whether all rows of the split are scored, uncorrupted; only then are bits per byte computed.
    """
    del train
    cache, plan = setting.splits[0]
    # Bits per byte need every token of a text predicted, the first one too.
    is_whole = is_whole and setting.config.causal and not plan.num_dropped
    is_whole = is_whole and _is_opened(cache, setting.tokenizer)
    return partial(summarize, num_bytes=cache.num_bytes if is_whole else None)


def label_summary(
    setting: Setting, *, train: data.TokenCache | None = None, is_whole: bool = True
) -> Callable[[Mapping[str, Any]], SequenceEvaluation | None]:
    """Returns a function from the sums of a split to the scores of a classifier or a regression.

    Args:
      setting: the setting of the evaluation, which has one split.
      train: the training split, whose labels give the baseline; None: there is no baseline.
      is_whole: not used here.
    """
    del is_whole
    labels, seen = setting.splits[0].cache.labels, None if train is None else train.labels
    return partial(summarize_sequences, baseline_loss=baseline_loss(labels, seen, setting.required_head()))


def _is_opened(cache: data.TokenCache, tokenizer: tokenizers.Tokenizer) -> bool:
    """Whether every record begins with a special token, which predicts the first of its text."""
    return bool(np.isin(cache.tokens[cache.offsets[:-1]], tokenizer.special_ids).all())
