"""From an evaluation's sums over a split to the scores that are shown and written."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from jaxlm import data, models, tokenizers
from jaxlm.training._evaluation import (
    Evaluation,
    SequenceEvaluation,
    baseline_loss,
    summarize,
    summarize_sequences,
)
from jaxlm.training._setting import Split


def token_summary(
    kind: models.ModelKind,
    split: Split,
    tokenizer: tokenizers.Tokenizer,
    *,
    train: data.TokenCache | None = None,
    head: models.HeadConfig | None = None,
    is_whole: bool = True,
) -> Callable[[Mapping[str, Any]], Evaluation | None]:
    """Returns what makes the scores of a language model of its sums over a split.

    Args:
      kind: of the model.
      split: that is evaluated.
      tokenizer: that its records were encoded with.
      train: the training split; not looked at.
      head: of a model of sequences; not looked at.
      is_whole: whether all of its rows are summed, and read as they are; only then there are bits per byte.
    """
    del train, head
    # Bits per byte are of a whole text: every token of it predicted, the first one too.
    is_whole = is_whole and kind.causal and not split.plan.num_dropped and _is_opened(split.cache, tokenizer)
    return partial(summarize, num_bytes=split.cache.num_bytes if is_whole else None)


def label_summary(
    kind: models.ModelKind,
    split: Split,
    tokenizer: tokenizers.Tokenizer,
    *,
    train: data.TokenCache | None = None,
    head: models.HeadConfig | None = None,
    is_whole: bool = True,
) -> Callable[[Mapping[str, Any]], SequenceEvaluation | None]:
    """Returns what makes the scores of a model of sequences of its sums; arguments as for `token_summary`.

    Labels of the training split are the baseline, where it is given.
    """
    del kind, tokenizer, is_whole
    labels = None if train is None else train.labels
    return partial(summarize_sequences, baseline_loss=baseline_loss(split.cache.labels, labels, head))


def _is_opened(cache: data.TokenCache, tokenizer: tokenizers.Tokenizer) -> bool:
    """Whether every record begins with a special token, which predicts the first of its text."""
    return bool(np.isin(cache.tokens[cache.offsets[:-1]], tokenizer.special_ids).all())
