"""From log-probabilities of tokens to one number for a text, a segment or a span."""

import math

import jax.numpy as jnp

from jaxlm import ops
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Bool, Float, Int

REDUCTIONS = ("sum", "mean", "bits")


def log_likelihood(
    log_probs: Float[Array, "B L"], counted: Bool[Array, "B L"], *, reduce: str = "sum"
) -> Float[Array, " B"]:
    """Returns the log-likelihood of the counted tokens of each row.

    `reduce` says which number is returned. "sum" is `sum log p` in nats, the log-likelihood of the counted
    tokens given the tokens before them. "mean" is this sum divided by the number of counted tokens, so that
    `exp(-mean)` is the perplexity. "bits" is `sum log2 p`: minus the length of the text in bits under an
    ideal code. If no token of a row is counted, all three are 0.

    Count the tokens that are predicted: `counted = ops.predicted_mask(segments)` for whole texts, and
    `& span_mask(...)` for a part of them. A token that nothing predicts has log-probability 0, which does not
    change a sum, but would count in a mean.

    Args:
      log_probs: `Float[B L]` in nats, at each token's own position, from `causal_log_probs`.
      counted: `Bool[B L]`, True = counts; log-probabilities elsewhere are ignored.
      reduce: "sum" (nats), "mean" (nats per token) or "bits".

    Returns:
      `Float32[B]`, one number for each row.

    Raises:
      UsageError: if `reduce` is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.scoring import log_likelihood
      >>> log_probs = jnp.log(jnp.array([[1.0, 0.5, 0.125, 1.0]]))
      >>> counted = jnp.array([[False, True, True, False]])
      >>> [round(log_likelihood(log_probs, counted, reduce=how).item(), 4) for how in ("sum", "mean", "bits")]
      [-2.7726, -1.3863, -4.0]
    """
    segments = jnp.ones(log_probs.shape, jnp.int32)
    return segment_log_likelihood(log_probs, counted, segments, 1, reduce=reduce)[:, 0]


def segment_log_likelihood(
    log_probs: Float[Array, "B L"],
    counted: Bool[Array, "B L"],
    segments: Int[Array, "B L"],
    num_segments: int,
    *,
    reduce: str = "sum",
) -> Float[Array, "B {num_segments}"]:
    """Returns the log-likelihood of the counted tokens of each segment of each row; see `log_likelihood`.

    Args:
      log_probs: `Float[B L]` in nats, at each token's own position, from `causal_log_probs`.
      counted: `Bool[B L]`, True = counts; log-probabilities elsewhere are ignored.
      segments: `Int[B L]`, the number of the segment (one text of the row) that a token belongs to, from 1; 0
        is padding.
      num_segments: G, the largest number of segments in a row; a static integer.
      reduce: "sum" (nats), "mean" (nats per token) or "bits".

    Returns:
      `Float32[B G]`, whose column g - 1 belongs to segment g; 0 for a segment that a row does not have.

    Raises:
      UsageError: if `reduce` is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.scoring import segment_log_likelihood
      >>> log_probs = jnp.array([[-1.0, -2.0, -4.0]])
      >>> segments = jnp.array([[1, 1, 2]])
      >>> segment_log_likelihood(log_probs, segments > 0, segments, 2).tolist()
      [[-3.0, -4.0]]
    """
    if reduce not in REDUCTIONS:
        raise UsageError(f"reduce is one of {', '.join(REDUCTIONS)}: got {reduce!r}")
    nats = jnp.where(counted, log_probs.astype(jnp.float32), 0.0)
    sums = ops.segment_sums(nats, segments, num_segments)
    if reduce == "bits":
        return sums / math.log(2.0)
    if reduce == "sum":
        return sums
    counts = ops.segment_counts(counted, segments, num_segments)
    return sums / jnp.maximum(counts, 1).astype(jnp.float32)


def span_mask(starts: Int[Array, " B"], ends: Int[Array, " B"], length: int) -> Bool[Array, "B {length}"]:
    """Returns a mask of one span in each row: True from `starts` up to `ends`, without the position `ends`.

    Args:
      starts: `Int[B]`, the first position of each row's span.
      ends: `Int[B]`, the position after each span's last one. A value of at most `starts` makes an empty
        span.
      length: L, the number of positions in a row; a static integer.

    Returns:
      `Bool[B L]`, True inside the span.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.scoring import span_mask
      >>> span_mask(jnp.array([1, 0]), jnp.array([3, 0]), 4).tolist()
      [[False, True, True, False], [False, False, False, False]]
    """
    positions = jnp.arange(length, dtype=starts.dtype)[None, :]
    return (positions >= starts[:, None]) & (positions < ends[:, None])
