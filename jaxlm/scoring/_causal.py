"""Log-probabilities of the tokens of texts under a causal language model, each at its own position."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxlm import models, ops
from jaxlm.typing import Array, Bool, Float, Int


@partial(jax.jit, static_argnames=("model", "bos_id", "tile"))
def causal_log_probs(
    model: nn.Module,
    params: Any,
    tokens: Int[Array, "B L"],
    *,
    segments: Int[Array, "B L"] | None = None,
    bos_id: int | None = None,
    tile: int = 1024,
) -> Float[Array, "B L"]:
    """Returns log p(token | the tokens before it in its segment), in nats, at the token's own position.

    A segment is one of the texts that are packed into a row.

    The logits at t predict the token at t + 1: the result is shifted, so that entry t belongs to token t.
    Tokens that nothing predicts have 0: the first token of each segment, and padding (`ops.predicted_mask` is
    True for all other tokens). If texts begin with an opening token (BOS, [CLS]), only that token is not
    predicted, and the whole text is scored; `bos_id` puts an opening token in front. A closing token is
    scored like any other.

    The logits are computed for `tile` positions at a time. Batch, packing and padding change a token's value
    by rounding only.

    Args:
      model: a causal LM.
      params: the model's parameters.
      tokens: `Int[B L]` ids.
      segments: `Int[B L]`, the number of each token's segment, from 1 and in contiguous runs; 0 is padding.
        None: each row is one text without padding.
      bos_id: a token that is put in front of each row, as a part of its first segment, so that the row's
        first token is scored, too; only for rows of one segment that begins at position 0. None: no token is
        put in front.
      tile: how many positions have their logits in memory at once.

    Returns:
      `Float32[B L]`, log-probabilities, 0 or less; 0 for tokens that nothing predicts.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.scoring import causal_log_probs
      >>> model = models.CausalLM(
      ...     models.TransformerConfig(vocab_size=4, width=8, depth=1, num_heads=2, causal=True))
      >>> tokens = jnp.array([[1, 2, 3]])
      >>> params = model.init(jax.random.key(0), tokens)["params"]
      >>> log_probs = causal_log_probs(model, params, tokens)
      >>> log_probs.shape, log_probs[0, 0].item(), bool((log_probs[0, 1:] < 0).all())
      ((1, 3), 0.0, True)
    """
    segments = jnp.ones_like(tokens) if segments is None else segments
    if bos_id is not None:
        tokens = jnp.pad(tokens, ((0, 0), (1, 0)), constant_values=bos_id)
        segments = jnp.concatenate([segments[:, :1], segments], axis=1)
    output = model.apply({"params": params}, models.Inputs(tokens=tokens, segments=segments))
    if not isinstance(output, models.Output):
        raise AssertionError(f"a causal LM returns an Output: got {type(output).__name__}")
    hidden = output.hidden
    head = models.head_projection(model.apply, params)
    features = head.features(hidden.reshape(-1, hidden.shape[-1]))
    targets, loss_mask = ops.next_token_targets(tokens, segments)
    flat = ops.token_log_probs(
        features, head.kernel, head.bias, targets.reshape(-1), softcap=head.softcap, tile=tile
    )
    log_probs = _at_the_target(flat.reshape(tokens.shape), loss_mask)
    return log_probs if bos_id is None else log_probs[:, 1:]


def next_token_log_probs(
    logits: Float[Array, "*batch L V"],
    tokens: Int[Array, "*batch L"],
    segments: Int[Array, "*batch L"] | None = None,
) -> Float[Array, "*batch L"]:
    """Returns log p(token | the tokens before it) in nats from the logits of all positions.

    The numbers are those of `causal_log_probs`, from logits instead of a model: entry t belongs to token t.

    Args:
      logits: `Float[... L V]`; the logits at position t predict the token at t + 1.
      tokens: `Int[... L]` ids in [0, V).
      segments: `Int[... L]`, the number of the text in its row that each token belongs to, from 1 and in
        contiguous runs; 0 is padding. None: each row is one text without padding.

    Returns:
      `Float32[... L]`; 0 for the first token of each segment and for padding.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.scoring import next_token_log_probs
      >>> logits = jnp.array([[0.0, 1.0, 2.0], [3.0, 4.0, 0.0], [1.0, 2.0, 3.0], [4.0, 0.0, 1.0]])
      >>> [round(nats, 4) for nats in next_token_log_probs(logits, jnp.array([0, 1, 2, 0])).tolist()]
      [0.0, -1.4076, -4.3266, -2.4076]
    """
    length = tokens.shape[-1]
    segments = jnp.ones_like(tokens) if segments is None else segments
    rows, marks = tokens.reshape(-1, length), segments.reshape(-1, length)
    targets, loss_mask = ops.next_token_targets(rows, marks)
    log_probs = ops.gather_log_probs(logits.reshape(-1, *logits.shape[-2:]), targets)
    return _at_the_target(log_probs, loss_mask).reshape(tokens.shape)


def _at_the_target(log_probs: Float[Array, "B L"], loss_mask: Bool[Array, "B L"]) -> Float[Array, "B L"]:
    """Values at the positions that predict, moved to the positions that are predicted."""
    return jnp.pad(jnp.where(loss_mask, log_probs, 0.0)[:, :-1], ((0, 0), (1, 0)))
