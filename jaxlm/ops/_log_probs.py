"""Log-probabilities at chosen ids, computed in tiles of positions, so that no `[M, V]` array exists.

Axis letters: M positions, D width, V vocabulary.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlm.ops._linear import linear
from jaxlm.ops._softcap import apply_softcap
from jaxlm.typing import Array, Bool, Float, Int


class TopK(NamedTuple):
    """The k most likely ids of each of M positions, the most likely first.

    Attributes:
      log_probs: `Float32[M k]` log-probabilities in nats, in descending order.
      tokens: `Int32[M k]` the ids with these log-probabilities.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import TopK
      >>> top = TopK(log_probs=jnp.log(jnp.array([[0.5, 0.25]])), tokens=jnp.array([[3, 0]]))
      >>> int(top.tokens[0, 0]), float(jnp.exp(top.log_probs[0, 0]))  # the likeliest id and its probability
      (3, 0.5)
    """

    log_probs: Array
    tokens: Array


def gather_log_probs(
    logits: Float[Array, "*batch V"], targets: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Returns log p(target) in nats for each row of logits: logit[target] - log sum exp(logits), in float32.

    Losses, scores and step functions all use this function.

    Args:
      logits: `Float[... V]`, of any float dtype.
      targets: `Int[...]` ids in [0, V), one for each row of logits; any other id gives NaN.

    Returns:
      `Float32[...]`, 0 or less.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import gather_log_probs
      >>> bool(jnp.isclose(gather_log_probs(jnp.zeros((1, 4)), jnp.array([2]))[0], -jnp.log(4.0)))
      True
    """
    logits = logits.astype(jnp.float32)
    return gather_logits(logits, targets) - jax.nn.logsumexp(logits, axis=-1)


def gather_logits(logits: Float[Array, "*batch V"], targets: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Returns the target's logit for each row of logits.

    Args:
      logits: `Float[... V]`.
      targets: `Int[...]` ids in [0, V), one for each row of logits; any other id gives NaN.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import gather_logits
      >>> gather_logits(jnp.array([[0.0, 1.0], [2.0, 3.0]]), jnp.array([1, -1])).tolist()
      [1.0, nan]
    """
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    # Negative indices would count from the end.
    return jnp.where(targets < 0, jnp.nan, chosen)


def token_log_probs(
    features: Float[Array, "M D"],
    kernel: Float[Array, "V D"],
    bias: Float[Array, " V"] | None,
    targets: Int[Array, " M"],
    *,
    softcap: float | None = None,
    tile: int = 1024,
) -> Float[Array, " M"]:
    """Returns log p(target) in nats at each position, from the head's features and its output kernel.

    It computes `gather_log_probs(features @ kernel.T + bias, targets)` for `tile` positions at a time. It is
    differentiable; the backward pass computes each tile's logits again instead of storing them.

    Args:
      features: `Float[M D]`, the features that are multiplied with the output kernel; the product has their
        dtype and accumulates in float32.
      kernel: `Float[V D]` output kernel.
      bias: `Float[V]`, added to the logits; None: nothing is added.
      targets: `Int[M]` ids in [0, V), one for each position.
      softcap: the logits become `softcap * tanh(logits / softcap)`; None: they stay as they are.
      tile: how many positions are computed at a time. It does not change the result.

    Returns:
      `Float32[M]`.

    Raises:
      ValueError: if `tile` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import token_log_probs
      >>> features, kernel = jnp.ones((3, 2)), jnp.zeros((4, 2))
      >>> log_probs = token_log_probs(features, kernel, None, jnp.array([0, 1, 3]), tile=2)
      >>> [round(value, 4) for value in log_probs.tolist()]
      [-1.3863, -1.3863, -1.3863]
    """

    def one_tile(features: Array, targets: Array) -> Array:
        logits = linear(features, kernel, bias, preferred=jnp.float32)
        return gather_log_probs(apply_softcap(logits, softcap), targets)

    return map_tiles(one_tile, (features, targets), tile)


def top_k_log_probs(
    features: Float[Array, "M D"],
    kernel: Float[Array, "V D"],
    bias: Float[Array, " V"] | None,
    k: int,
    *,
    forbidden: Bool[Array, " V"] | None = None,
    softcap: float | None = None,
    tile: int = 1024,
) -> TopK:
    """Returns the `k` most likely permitted ids of each position, and their log-probabilities in nats.

    The log-probabilities belong to the distribution over all ids: forbidden ids are left out of the list, but
    not out of the normalisation. Equally likely ids are in ascending order.

    Args:
      features: `Float[M D]`, the features that are multiplied with the output kernel.
      kernel: `Float[V D]` output kernel.
      bias: `Float[V]`, added to the logits; None: nothing is added.
      k: how many ids are listed, at most V. If fewer ids are permitted, the rest of the list has
        log-probability -inf.
      forbidden: `Bool[V]`, True = never listed; None: every id is permitted.
      softcap: the logits become `softcap * tanh(logits / softcap)`; None: they stay as they are.
      tile: how many positions are computed at a time. It does not change the result.

    Returns:
      `TopK` with `log_probs` `Float32[M k]` and `tokens` `Int32[M k]`.

    Raises:
      ValueError: if `tile` is not positive or `k` is not in 1 .. V.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops import top_k_log_probs
      >>> logits = jnp.array([[0.0, 2.0, 1.0]])
      >>> top = top_k_log_probs(logits, jnp.eye(3), None, 2, forbidden=jnp.array([False, True, False]))
      >>> top.tokens.tolist()
      [[2, 0]]
    """
    if not 1 <= k <= kernel.shape[0]:
        raise ValueError(f"top-k needs 1 <= k <= the vocabulary's {kernel.shape[0]} ids: got k={k}")

    def one_tile(features: Array) -> TopK:
        logits = apply_softcap(linear(features, kernel, bias, preferred=jnp.float32), softcap)
        log_probs = jax.nn.log_softmax(logits, axis=-1)
        if forbidden is not None:
            log_probs = jnp.where(forbidden[None, :], -jnp.inf, log_probs)
        return TopK(*jax.lax.top_k(log_probs, k))

    return map_tiles(one_tile, (features,), tile)


def map_tiles(one_tile: Callable[..., Any], rows: tuple[Array, ...], tile: int) -> Any:
    """Returns `one_tile` applied to `tile` rows at a time; the last tile is padded with zero rows.

    Args:
      one_tile: a function of arrays with `tile` rows, whose results have a row for each of them.
      rows: the arrays, with M rows each.
      tile: rows at a time.

    Raises:
      ValueError: if `tile` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.ops._log_probs import map_tiles
      >>> map_tiles(lambda rows: rows * 2, (jnp.arange(3),), tile=2).tolist()
      [0, 2, 4]
    """
    if tile < 1:
        raise ValueError(f"a tile holds at least one position: got tile={tile}")
    num = rows[0].shape[0]
    tile = min(tile, max(num, 1))
    num_tiles = -(-num // tile)

    def split(array: Array) -> Array:
        padding = ((0, num_tiles * tile - num), *((0, 0),) * (array.ndim - 1))
        return jnp.pad(array, padding).reshape(num_tiles, tile, *array.shape[1:])

    tiles = jax.lax.map(lambda parts: jax.checkpoint(one_tile)(*parts), tuple(map(split, rows)))
    return jax.tree.map(lambda array: array.reshape(num_tiles * tile, *array.shape[2:])[:num], tiles)
