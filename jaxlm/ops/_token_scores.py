"""Scores of predictions: log-probability and rank of the target, confidence and entropy.

Axis letters: M positions, D width, V vocabulary.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxlm.ops._linear import linear
from jaxlm.ops._log_probs import map_tiles
from jaxlm.ops._softcap import apply_softcap
from jaxlm.typing import Array, Float, Int


class TokenScores(NamedTuple):
    """The scores of M predictions, each a distribution over V ids, from which metrics are computed.

    Attributes:
      log_probs: `Float32[M]`, log p(target) in nats.
      ranks: `Int32[M]`, how many ids come before the target if ids are sorted by falling probability; 0 if
        the target is the most likely id. Of equally likely ids the lower one comes first.
      confidence: `Float32[M]`, the probability of the most likely id, in [1/V, 1].
      entropy: `Float32[M]`, the entropy of the distribution in nats.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import TokenScores
      >>> zeros = jnp.zeros(2)
      >>> scores = TokenScores(zeros, jnp.array([0, 3]), zeros, zeros)
      >>> (scores.ranks < 2).tolist()  # whether each target is among the two most likely ids
      [True, False]
    """

    log_probs: Float[Array, " M"]
    ranks: Int[Array, " M"]
    confidence: Float[Array, " M"]
    entropy: Float[Array, " M"]


def token_scores(
    features: Float[Array, "M D"],
    kernel: Float[Array, "V D"],
    bias: Float[Array, " V"] | None,
    targets: Int[Array, " M"],
    *,
    softcap: float | None = None,
    tile: int = 1024,
) -> TokenScores:
    """Returns the log-probability and rank of each target, and its prediction's confidence and entropy.

    The predictions are `softmax(features @ kernel.T + bias)`, computed in float32 for `tile` positions at a
    time. The log-probabilities are those of `token_log_probs`. A target is among the k most likely ids if its
    rank is below k.

    Args:
      features: `Float[M D]`, the features that are multiplied with the output kernel; the product has their
        dtype and accumulates in float32.
      kernel: `Float[V D]` output kernel.
      bias: `Float[V]`, added to the logits; None: nothing is added.
      targets: `Int[M]` ids in [0, V), one for each position; an id of V or more has log-probability NaN.
      softcap: the logits become `softcap * tanh(logits / softcap)`; None: they stay as they are.
      tile: how many positions are computed at a time. It does not change the result.

    Returns:
      `TokenScores`, one score of each sort for each position.

    Raises:
      ValueError: if `tile` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import token_scores
      >>> logits = jnp.log(jnp.array([[0.25, 0.5, 0.25]]))
      >>> scores = token_scores(logits, jnp.eye(3), None, jnp.array([2]))
      >>> scores.ranks.tolist(), scores.confidence.tolist(), (scores.entropy / jnp.log(2.0)).tolist()
      ([2], [0.5], [1.5])
    """

    def one_tile(features: Array, targets: Array) -> TokenScores:
        logits = linear(features, kernel, bias, preferred=jnp.float32)
        return logit_scores(apply_softcap(logits, softcap), targets)

    return map_tiles(one_tile, (features, targets), tile)


def logit_scores(logits: Float[Array, "M V"], targets: Int[Array, " M"]) -> TokenScores:
    """Returns the scores of `token_scores` for logits that are given instead of features and a kernel.

    Args:
      logits: `Float[M V]`.
      targets: `Int[M]` ids in [0, V), one for each row of logits.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import logit_scores
      >>> logit_scores(jnp.array([[1.0, 1.0]]), jnp.array([1])).ranks.tolist()
      [1]
    """
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    chosen = jnp.take_along_axis(log_probs, targets[:, None], axis=-1)
    ids = lax.broadcasted_iota(targets.dtype, log_probs.shape, 1)
    before = (log_probs > chosen) | ((log_probs == chosen) & (ids < targets[:, None]))
    probs = jnp.exp(log_probs)
    # An impossible id (log-probability -inf) adds nothing: 0 log 0 = 0.
    terms = jnp.where(probs > 0, probs * log_probs, 0.0)
    return TokenScores(chosen[:, 0], before.sum(-1, dtype=jnp.int32), probs.max(-1), jnp.abs(terms.sum(-1)))
