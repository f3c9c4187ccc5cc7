"""Faithfulness of scores: what a step function does as the best-scored tokens are removed, or alone are kept.

Letters: `T` tokens of a text, `N` predictions, `K` numbers of tokens, `C` copies of the text.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlm.errors import UsageError
from jaxlm.typing import AnyArray, Array, Bool, Float, Int

# `value_fn(kept: Bool[C T], prediction: Int[C]) -> Float[C]`, see `deletion_curve`.
ValueFn = Callable[[Bool[Array, "C T"], Int[Array, " C"]], Float[Array, " C"]]


class FaithfulnessCurve(NamedTuple):
    """The values of a step function as tokens are removed from, or put into, a text in the order of scores.

    Attributes:
      counts: `Int32[K]`. How many tokens are removed, or put in, of those that a prediction can see. A count
        beyond them stands for all of them.
      values: `Float32[K N]`. The step function of each prediction.
      kept: `Int32[K N]`. How many tokens of those that a prediction can see are left.
    """

    counts: Int[Array, " K"]
    values: Float[Array, "K N"]
    kept: Int[Array, "K N"]

    @property
    def area(self) -> Float[Array, " N"]:
        """The mean height of each curve, by trapezoids over the counts; its only value if there is one count.

        For deletion a lower area means better scores, for insertion a higher one.
        """
        widths = jnp.diff(self.counts).astype(jnp.float32)
        if widths.shape[0] == 0:
            return self.values[0]
        heights = (self.values[1:] + self.values[:-1]) / 2.0
        return (heights * widths[:, None]).sum(0) / widths.sum()


def deletion_curve(
    value_fn: ValueFn, scores: Float[AnyArray, "T N"], counts: Sequence[int] | None = None
) -> FaithfulnessCurve:
    """Returns the values of a step function as the tokens with the highest scores are removed.

    The fewer tokens suffice to lower the value, the more faithful the scores are.

    Args:
      value_fn: a function of copies of the text: `value_fn(kept, prediction)`, `kept` `Bool[C T]`, True where
        a copy keeps its token, and `prediction` `Int[C]`, the index of the prediction whose value is asked of
        each copy, returns `Float[C]`. `removal_values` makes one of a model.
      scores: `Float[T N]`, one for each token and prediction, higher for what raised the value; NaN where a
        prediction cannot see the token, which is then never removed. Of equal scores the earlier token is
        removed first.
      counts: the numbers of removed tokens, ascending; None: all from 0 to T.

    Raises:
      UsageError: if the counts do not ascend from at least 0, or there is no score.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.attribution import deletion_curve
      >>> weights = jnp.array([1.0, 4.0, 2.0])  # of a linear model
      >>> def linear(kept, prediction):
      ...     return jnp.where(kept, weights, 0.0).sum(-1)
      >>> curve = deletion_curve(linear, weights[:, None])
      >>> curve.values[:, 0].tolist(), curve.area.tolist()
      ([7.0, 3.0, 1.0, 0.0], [2.5])

    References:
      Samek et al., "Evaluating the Visualization of What a Deep Neural Network Has Learned", 2015,
        https://arxiv.org/abs/1509.06321.
      Petsiuk et al., "RISE", 2018, https://arxiv.org/abs/1806.07421 (deletion and insertion).
    """
    return _curve(value_fn, scores, counts, are_removed=True)


def insertion_curve(
    value_fn: ValueFn, scores: Float[AnyArray, "T N"], counts: Sequence[int] | None = None
) -> FaithfulnessCurve:
    """Returns the values of a step function as the tokens with the highest scores are put into an empty text.

    The fewer tokens suffice to raise the value, the more faithful the scores are.

    Args:
      value_fn: as in `deletion_curve`.
      scores: `Float[T N]`; NaN where a prediction cannot see the token.
      counts: the numbers of tokens that are put in, ascending; None: all from 0 to T.

    Raises:
      UsageError: as `deletion_curve`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.attribution import insertion_curve
      >>> weights = jnp.array([1.0, 4.0, 2.0])  # of a linear model
      >>> def linear(kept, prediction):
      ...     return jnp.where(kept, weights, 0.0).sum(-1)
      >>> insertion_curve(linear, weights[:, None]).values[:, 0].tolist()
      [0.0, 4.0, 6.0, 7.0]
    """
    return _curve(value_fn, scores, counts, are_removed=False)


def comprehensiveness(
    value_fn: ValueFn, scores: Float[AnyArray, "T N"], counts: Sequence[int]
) -> Float[Array, " N"]:
    """Returns how far a value falls if the best-scored tokens are removed, averaged over numbers of tokens.

    `mean over k of f(all tokens) - f(without the k best)`: high if the best-scored tokens were needed.
    Methods are compared at equal numbers of tokens, not at equal shares of their scores.

    Args:
      value_fn: as in `deletion_curve`.
      scores: `Float[T N]`; NaN where a prediction cannot see the token.
      counts: the numbers of tokens k, ascending, such as `(1, 2, 5)`.

    Raises:
      UsageError: as `deletion_curve`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.attribution import comprehensiveness
      >>> weights = jnp.array([1.0, 4.0, 2.0])
      >>> def linear(kept, prediction):
      ...     return jnp.where(kept, weights, 0.0).sum(-1)
      >>> comprehensiveness(linear, weights[:, None], (1, 2)).tolist()
      [5.0]

    References:
      DeYoung et al., "ERASER: A Benchmark to Evaluate Rationalized NLP Models", 2020,
        https://arxiv.org/abs/1911.03429 (section 4).
    """
    curve = deletion_curve(value_fn, scores, counts)
    return _whole(value_fn, scores) - curve.values.mean(0)


def sufficiency(
    value_fn: ValueFn, scores: Float[AnyArray, "T N"], counts: Sequence[int]
) -> Float[Array, " N"]:
    """Returns how far a value falls if only the best-scored tokens are kept, averaged over numbers of tokens.

    `mean over k of f(all tokens) - f(the k best alone)`: low, or below 0, if the best-scored tokens suffice.
    Methods are compared at equal numbers of kept tokens.

    Args:
      value_fn: as in `deletion_curve`.
      scores: `Float[T N]`; NaN where a prediction cannot see the token.
      counts: the numbers of kept tokens k, ascending, such as `(1, 2, 5)`.

    Raises:
      UsageError: as `deletion_curve`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.attribution import sufficiency
      >>> weights = jnp.array([1.0, 4.0, 2.0])
      >>> def linear(kept, prediction):
      ...     return jnp.where(kept, weights, 0.0).sum(-1)
      >>> sufficiency(linear, weights[:, None], (1, 2)).tolist()
      [2.0]

    References:
      DeYoung et al., "ERASER: A Benchmark to Evaluate Rationalized NLP Models", 2020,
        https://arxiv.org/abs/1911.03429 (section 4).
    """
    curve = insertion_curve(value_fn, scores, counts)
    return _whole(value_fn, scores) - curve.values.mean(0)


def _curve(
    value_fn: ValueFn, scores: Float[AnyArray, "T N"], counts: Sequence[int] | None, *, are_removed: bool
) -> FaithfulnessCurve:
    scores = jnp.asarray(scores)
    seen = ~jnp.isnan(scores)
    numbers = _counts(counts, seen)
    chosen = _ranks(scores)[None] < numbers[:, None, None]
    kept = jnp.where(seen[None], ~chosen if are_removed else chosen, True)
    values = _values(value_fn, kept)
    return FaithfulnessCurve(numbers, values, (kept & seen[None]).sum(1, dtype=jnp.int32))


def _whole(value_fn: ValueFn, scores: Float[AnyArray, "T N"]) -> Float[Array, " N"]:
    """The values of the text with all of its tokens."""
    return _values(value_fn, jnp.ones((1, *scores.shape), bool))[0]


def _values(value_fn: ValueFn, kept: Bool[Array, "K T N"]) -> Float[Array, "K N"]:
    num_counts, num_tokens, num_predictions = kept.shape
    copies = kept.swapaxes(1, 2).reshape(-1, num_tokens)
    predictions = jnp.tile(jnp.arange(num_predictions, dtype=jnp.int32), num_counts)
    return value_fn(copies, predictions).reshape(num_counts, num_predictions)


def _ranks(scores: Float[Array, "T N"]) -> Int[Array, "T N"]:
    """The rank of each token by its prediction's scores: 0 for the highest, unseen ones last."""
    order = jnp.argsort(jnp.where(jnp.isnan(scores), jnp.inf, -scores), axis=0, stable=True)
    return jnp.argsort(order, axis=0)


def _counts(counts: Sequence[int] | None, seen: Bool[Array, "T N"]) -> Int[Array, " K"]:
    if seen.size == 0:
        raise UsageError("faithfulness is that of scores [T, N]: got none")
    if counts is None:
        return jnp.arange(seen.shape[0] + 1, dtype=jnp.int32)
    numbers = np.asarray(counts)
    is_right = numbers.ndim == 1 and numbers.size and np.issubdtype(numbers.dtype, np.integer)
    if not is_right or numbers[0] < 0 or (np.diff(numbers) <= 0).any():
        raise UsageError(f"numbers of tokens ascend from 0 or more: got {list(counts)}")
    return jnp.asarray(numbers, jnp.int32)
