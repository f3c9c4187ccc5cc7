"""HotFlip: the tokens of a text that, replaced by others, change what a model predicts.

Letters: `B` rows, `L` positions of the changed row, `M` predictions of a row, `D` width, `V` vocabulary.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import models
from jaxlm.attribution._attacks import (
    LossGradients,
    changed_row,
    target_gradients,
    with_changed_row,
    with_segments,
)
from jaxlm.attribution._site_runs import segments_of
from jaxlm.typing import Array, Bool, Float, Int


class Flips(NamedTuple):
    """Rows after HotFlip.

    Attributes:
      tokens: `Int32[B L]`. The changed row.
      order: `Int32[B L]`. In which round each token was replaced, from 0; -1 for tokens that were not.
      predictions: `Int32[B M]`. What the model predicts for the row before; -1 in unused entries.
      flipped_predictions: `Int32[B M]`. What it predicts for the changed row.
      succeeded: `Bool[B]`. Whether the prediction changed; with targets, whether the targets are predicted.
    """

    tokens: Int[Array, "B L"]
    order: Int[Array, "B L"]
    predictions: Int[Array, "B M"]
    flipped_predictions: Int[Array, "B M"]
    succeeded: Bool[Array, " B"]


def flip_tokens(
    model: nn.Module,
    params: Mapping[str, Any],
    inputs: models.Inputs,
    positions: Int[Array, "B M"],
    replaceable: Bool[Array, "B L"],
    candidates: Bool[Array, " V"],
    targets: Int[Array, "B M"] | None = None,
) -> Flips:
    """Returns rows in which tokens are replaced one by one until the prediction changes, or is the target.

    In every round the replaceable token with the largest gradient of the loss is replaced by the candidate
    that, by the gradient, changes the loss most: `argmax_k g . (E_k - e)` for the vectors E of the
    vocabulary. Without targets the loss is that of the model's own prediction and is raised, until one of the
    likeliest tokens changes; with targets it is theirs and is lowered, until all of them are the likeliest. A
    token is replaced once. A row in which that is so from the beginning is not changed.

    All ids may be candidates, where AllenNLP takes the first 5,000. A token is not replaced by itself. Of an
    encoder-decoder the encoder's row is changed. Rows are changed independently of each other, in one
    compiled loop.

    Args:
      model: a `CausalLM`, a `MaskedLM` or a `Seq2SeqLM`; static under `jax.jit`.
      params: its "params" collection.
      inputs: the rows, as tokens.
      positions: `Int[B M]`, the positions at which the model predicts; -1 in unused entries.
      replaceable: `Bool[B L]`, True = may be replaced, for the row that is changed. A masked model's masks
        must be False.
      candidates: `Bool[V]`, True for ids that may replace others.
      targets: `Int[B M]`, the ids that the model is to predict; None: any others than it predicts.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.attribution import flip_tokens
      >>> size = dict(vocab_size=7, width=8, depth=1, num_heads=2, init_std=0.5)
      >>> model = models.CausalLM(models.TransformerConfig(causal=True, **size))
      >>> inputs = models.Inputs(tokens=jnp.array([[1, 2, 3]]))
      >>> params = model.init(jax.random.key(0), inputs)["params"]
      >>> may, candidates = jnp.ones((1, 3), bool), jnp.ones(7, bool)
      >>> flips = jax.jit(flip_tokens, static_argnums=0)(
      ...     model, params, inputs, jnp.array([[2]]), may, candidates)
      >>> bool(flips.succeeded[0]) == bool((flips.predictions != flips.flipped_predictions)[0, 0])
      True

    References:
      Ebrahimi et al., "HotFlip", 2018, https://arxiv.org/abs/1712.06751.
      Wallace et al., "AllenNLP Interpret", 2019, https://arxiv.org/abs/1909.09251.
    """
    inputs = with_segments(inputs)
    table = token_table(model, params)
    row = changed_row(inputs)

    def gradients(tokens: Array, aims: Int[Array, "B M"] | None) -> LossGradients:
        read = with_changed_row(inputs, row._replace(tokens=tokens))
        return target_gradients(model, params, read, positions, aims)

    before = gradients(row.required_tokens(), targets)
    aims = before.predicted if targets is None else targets
    sign = 1.0 if targets is None else -1.0
    may = replaceable & (segments_of(row) > 0)

    def reached(found: LossGradients) -> Bool[Array, " B"]:
        is_aim = (found.predicted == aims) | (positions < 0)
        return ~is_aim.all(1) if targets is None else is_aim.all(1)

    def is_open(state: _Round) -> Bool[Array, " B"]:
        return ~reached(state.found) & (may & (state.order < 0)).any(1)

    def advance(state: _Round) -> _Round:
        tokens, order = _flipped(state, may, candidates, table, sign, is_open(state))
        return _Round(tokens, order, gradients(tokens, aims), state.round + 1)

    start = _Round(
        row.required_tokens().astype(jnp.int32), jnp.full(may.shape, -1, jnp.int32), before, jnp.int32(0)
    )
    end = jax.lax.while_loop(lambda state: is_open(state).any(), advance, start)
    return Flips(end.tokens, end.order, before.predicted, end.found.predicted, reached(end.found))


class _Round(NamedTuple):
    """The rows after some rounds, with the gradients of their loss."""

    tokens: Int[Array, "B L"]
    order: Int[Array, "B L"]
    found: LossGradients
    round: Int[Array, ""]


def token_table(model: nn.Module, params: Mapping[str, Any]) -> Float[Array, "V D"]:
    """Returns the vector that a model reads for each id of its vocabulary, each in a text of its own.

    Args:
      model: a language model.
      params: its "params" collection.
    """
    ids = jnp.arange(model.config.vocab_size, dtype=jnp.int32)
    return models.apply_token_vectors(model, params, ids[:, None])[:, 0].astype(jnp.float32)


def _flipped(
    state: _Round,
    may: Bool[Array, "B L"],
    candidates: Bool[Array, " V"],
    table: Float[Array, "V D"],
    sign: float,
    is_open: Bool[Array, " B"],
) -> tuple[Int[Array, "B L"], Int[Array, "B L"]]:
    """The tokens and the order of replacements after one more replacement in every open row."""
    gradients = state.found.gradients
    norms = jnp.square(gradients).sum(-1)
    place = jnp.where(may & (state.order < 0), norms, -1.0).argmax(1)[:, None]
    gradient = jnp.take_along_axis(gradients, place[..., None], axis=1)[:, 0]
    old = jnp.take_along_axis(state.tokens, place, axis=1)
    # g . (E_k - e_old), without the part that is the same for all k.
    gains = sign * gradient @ table.T
    is_candidate = candidates[None] & (jnp.arange(table.shape[0])[None] != old)
    new = jnp.where(is_candidate, gains, -jnp.inf).argmax(1).astype(jnp.int32)[:, None]
    new = jnp.where(is_candidate.any(1, keepdims=True), new, old)
    is_here = (jnp.arange(may.shape[1])[None] == place) & is_open[:, None]
    return jnp.where(is_here, new, state.tokens), jnp.where(is_here, state.round, state.order)
