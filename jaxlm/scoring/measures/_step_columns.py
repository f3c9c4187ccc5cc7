"""Which step functions can be computed for a corpus, and the columns of their values."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import pyarrow as pa

from jaxlm import steps
from jaxlm.scoring.measures._measure import Context, ScoreError, nats

# The columns of step scores beside those of functions.
STEP_COUNTS = ("num_tokens", "num_scored")
# Inputs of step functions that need random numbers, which a corpus has no key for.
RANDOM_INPUTS = frozenset({"noisy_logits", "rng"})


def check_step_functions(rows: Sequence[steps.StepFunction], context: Context, contrast: str | None) -> None:
    """Refuses step functions that cannot be computed for a corpus.

    Args:
      rows: the step functions.
      context: the model that is asked, with its tokenizer and its limits.
      contrast: the column with the text that functions compare with, or None.

    Raises:
      JaxlmError: says why; before any document is read.
    """
    names = [row.name for row in rows]
    if not rows:
        raise ScoreError(f"functions: name some of {', '.join(steps.list_step_functions())}")
    twice = next((name for name in names if names.count(name) > 1 or name in STEP_COUNTS), None)
    if twice is not None:
        raise ScoreError(f"functions: {twice} is there twice: name each once")
    comparing = [row.name for row in rows if row.needs_contrast]
    if comparing and contrast is None:
        raise ScoreError(f"{comparing[0]} compares two texts: contrast names the column of the other")
    if contrast is not None and not comparing:
        raise ScoreError(f"a contrast is named, and none of {', '.join(names)} compares; leave it out")
    for row in rows:
        if row.needs & RANDOM_INPUTS:
            raise ScoreError(f"{row.name} draws, and a corpus has no key: ask steps.step_scores for it")
        if context.kind.fill and row.needs & {"targets", "contrast_targets"}:
            raise ScoreError(f"{row.name} reads the token at a mask, which the text hides: ask for entropy")
        _check_values(row, context.vocab_size)


def _check_values(row: steps.StepFunction, vocab_size: int) -> None:
    """Refuses options that are out of range, by tracing the function without computing it."""
    logits, targets = jnp.zeros((1, vocab_size)), jnp.zeros(1, jnp.int32)
    jax.eval_shape(lambda: steps.step_values(row, steps.StepInputs(logits, targets, logits, targets)))


def step_column(row: steps.StepFunction, prefix: str = "", kind: pa.DataType | None = None) -> pa.Field:
    """Returns the column of a step function's values, with their unit.

    Args:
      row: the step function.
      prefix: of the column's name.
      kind: of its values; None: float64.

    Example:
      >>> from jaxlm import steps
      >>> from jaxlm.scoring.measures._step_columns import step_column
      >>> step_column(steps.step_function("top_p_size", top_p=0.9)).name
      'top_p_size(top_p=0.9)'
    """
    if row.unit == "nats":
        return nats(prefix + row.name, kind)
    return pa.field(prefix + row.name, kind or pa.float64(), metadata={"unit": row.unit})
