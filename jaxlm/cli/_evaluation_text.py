"""The scores of an evaluation, for a person or a program."""

import math
from typing import Any

from jaxlm import data, models, reports, training
from jaxlm.cli._output import finite_or_none, show

AnyEvaluation = training.Evaluation | training.SequenceEvaluation


def counts_in_words(scores: AnyEvaluation, kind: models.ModelKind) -> str:
    """Returns in words how much was scored.

    Args:
      scores: of an evaluation.
      kind: of the model.

    Example:
      >>> from jaxlm import models, training
      >>> from jaxlm.cli._evaluation_text import counts_in_words
      >>> counts_in_words(training.SequenceEvaluation(0.5, float("nan"), 300, 9000), models.REGRESSION)
      '300 records of 9,000 tokens'
    """
    if isinstance(scores, training.SequenceEvaluation):
        return f"{scores.records:,} records of {scores.tokens:,} tokens"
    if kind.fill:
        return f"{scores.scored:,} masked of {scores.tokens:,} tokens, fixed masks"
    if kind.encoder:
        return f"{scores.scored:,} tokens written of {scores.tokens:,} in the texts, fixed spans"
    asked = "next tokens" if kind.next_token else "targets"
    return f"{scores.scored:,} {asked} of {scores.tokens:,}" + ("" if kind.next_token else " tokens")


def show_scores(scores: AnyEvaluation, experiment: training.Experiment, *, is_own: bool = True) -> None:
    """Prints the table of scores; with bits per byte, also those of general compressors for the same text.

    Args:
      scores: of an evaluation.
      experiment: of the model.
      is_own: whether the scores are those of the experiment's own test split.
    """
    show(reports.evaluation_table(scores))
    if isinstance(scores, training.SequenceEvaluation):
        return
    if is_own and not math.isnan(scores.bits_per_byte):
        packed = data.compressed_bits_per_byte(data.split_texts(experiment.data, "test"))
        others = ", ".join(f"{name} {bits:.3f}" for name, bits in packed.items())
        print(f"the same text compressed, bits per byte: {others}")
    if len(scores.by_level) > 1:
        print("\nby how much of the record was corrupted")
        show(reports.level_table(scores.by_level))


def as_values(scores: AnyEvaluation) -> dict[str, Any]:
    """Returns scores as JSON values: what is not finite is None, levels are objects."""
    values = scores._asdict()
    levels = values.pop("by_level", ())
    found = finite_or_none(values)
    return found | {"by_level": [finite_or_none(level._asdict()) for level in levels]} if levels else found
