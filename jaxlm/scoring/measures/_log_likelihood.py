"""From log-probabilities of tokens to one number a text, a segment or a span."""

import math

import jax.numpy as jnp

from jaxlm import ops
from jaxlm.typing import Array, Bool, Float, Int

REDUCTIONS = ("sum", "mean", "bits")


def log_likelihood(
    log_probs: Float[Array, "B L"],
    counted: Bool[Array, "B L"],
    *,
    reduce: str = "sum",
    segments: Int[Array, "B L"] | None = None,
    num_segments: int | None = None,
) -> Float[Array, " B"] | Float[Array, "B {num_segments}"]:
    """Returns the log-likelihood of what is counted: of each row, or of each segment of each row.

    `sum` is `sum log p` in nats, the log-likelihood of the span given what stands before it; `mean` is that
    over the number of counted tokens, `exp(-mean)` being their perplexity; `bits` is the sum in bits, `sum
    log2 p`, minus the length of the text in an ideal code. Where nothing is counted all three are 0.

    Count what is predicted: `counted = ops.predicted_mask(segments)` for whole texts, and `& span_mask(...)` for a
    part of them. A token that nothing predicts has log-probability 0, which changes no sum, but would be
    counted by a mean.

    Args:
      log_probs: `Float[B L]` in nats, at each token's own position, from `causal_log_probs`.
      counted: `Bool[B L]`, True = counts; what stands elsewhere is not looked at.
      reduce: "sum", "mean" or "bits".
      segments: `Int[B L]`, ids from 1, 0 = padding, to reduce by segment; None: by row.
      num_segments: S, how many segments a row has at most; needed with `segments`, static.

    Returns:
      `Float32[B]`, or `Float32[B S]` whose column s - 1 is segment s.

    Raises:
      ValueError: if `reduce` is unknown, or only one of `segments` and `num_segments` is given.

    Example:
      >>> log_probs = jnp.log(jnp.array([[1.0, 0.5, 0.125, 1.0]]))
      >>> counted = jnp.array([[False, True, True, False]])
      >>> [round(log_likelihood(log_probs, counted, reduce=how).item(), 4) for how in ("sum", "mean", "bits")]
      [-2.7726, -1.3863, -4.0]
    """
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce is one of {', '.join(REDUCTIONS)}: got {reduce!r}")
    if (segments is None) != (num_segments is None):
        raise ValueError(
            "segments and num_segments come together: the one says where a row's segments are, the other how "
            "many columns there are"
        )
    if segments is None:
        segments, num_segments = jnp.ones(log_probs.shape, jnp.int32), 1
        return log_likelihood(
            log_probs, counted, reduce=reduce, segments=segments, num_segments=num_segments
        )[:, 0]
    nats = jnp.where(counted, log_probs.astype(jnp.float32), 0.0)
    sums = ops.segment_sums(nats, segments, num_segments)
    if reduce == "bits":
        return sums / math.log(2.0)
    if reduce == "sum":
        return sums
    counts = ops.segment_counts(counted, segments, num_segments)
    return sums / jnp.maximum(counts, 1).astype(jnp.float32)


def span_mask(starts: Int[Array, " B"], ends: Int[Array, " B"], length: int) -> Bool[Array, "B {length}"]:
    """Returns where a row's span is: True from `starts` up to, not including, `ends`.

    Args:
      starts: `Int[B]`, first position of each row's span.
      ends: `Int[B]`, the position after its last one; not beyond `starts` for an empty span.
      length: L, static.

    Returns:
      `Bool[B L]`.

    Example:
      >>> span_mask(jnp.array([1, 0]), jnp.array([3, 0]), 4).tolist()
      [[False, True, True, False], [False, False, False, False]]
    """
    positions = jnp.arange(length, dtype=starts.dtype)[None, :]
    return (positions >= starts[:, None]) & (positions < ends[:, None])
