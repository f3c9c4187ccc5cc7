"""What attacks on a prediction share: the rows that are changed, and the gradient of the prediction's loss.

An attack changes the tokens of one row: of an encoder-decoder the row that its encoder reads, else the row
itself. Letters: `B` rows, `L` positions of the changed row, `M` predictions of a row, `D` width.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.attribution._site_runs import rows_at, segments_of
from jaxlm.typing import Array, Float, Int


class LossGradients(NamedTuple):
    """The predictions of some rows, and the gradients of their loss.

    Attributes:
      gradients: `Float32[B L D]`, of each row's loss with respect to the vectors of the changed row's
        tokens, in nats per unit; 0 at padding.
      predicted: `Int32[B M]`, the likeliest token at each position; -1 in unused entries.
      probabilities: `Float32[B M]`, those of the targets; 1 in unused entries.
    """

    gradients: Float[Array, "B L D"]
    predicted: Int[Array, "B M"]
    probabilities: Float[Array, "B M"]


def changed_row(inputs: models.Inputs) -> models.Inputs:
    """Returns the row whose tokens an attack changes: that of the encoder, where there is one."""
    return inputs if inputs.encoder is None else inputs.encoder


def with_changed_row(inputs: models.Inputs, row: models.Inputs) -> models.Inputs:
    """Returns the inputs with another changed row."""
    return row if inputs.encoder is None else inputs._replace(encoder=row)


def with_segments(inputs: models.Inputs) -> models.Inputs:
    """Returns the inputs with the segments of both rows, 1 everywhere where they are not given."""
    encoder = None if inputs.encoder is None else with_segments(inputs.encoder)
    return inputs._replace(segments=segments_of(inputs), encoder=encoder)


def target_gradients(
    model: nn.Module,
    params: Mapping[str, Any],
    inputs: models.Inputs,
    positions: Int[Array, "B M"],
    targets: Int[Array, "B M"] | None = None,
) -> LossGradients:
    """Returns what a model predicts, and the gradients of the loss, the mean over M of `-log p(target)`.

    Args:
      model: a language model.
      params: its "params" collection.
      inputs: tokens with segments.
      positions: `Int[B M]`, where it predicts; -1 in unused entries.
      targets: `Int[B M]`, the ids of the loss; None: those that it predicts.
    """
    row = changed_row(inputs)
    tokens = row.required_tokens()
    own = (row.segments,) if inputs.encoder is None else ()
    vectors = models.apply_token_vectors(model, params, tokens, *own)
    is_used = positions >= 0

    def total_loss(changed: Array) -> tuple[Array, tuple[Array, Array]]:
        read = with_changed_row(inputs, row._replace(tokens=None, embeddings=changed))
        hidden = models.apply_model(model, params, read).hidden
        logits = models.apply_head(model, params, rows_at(hidden, positions))
        likeliest = logits.argmax(-1).astype(jnp.int32)
        chosen = likeliest if targets is None else jnp.where(is_used, targets, 0)
        log_probs = ops.gather_log_probs(logits, chosen)
        log_probs = jnp.where(is_used, log_probs, 0.0)
        losses = -log_probs.sum(1) / jnp.maximum(is_used.sum(1, dtype=jnp.float32), 1.0)
        return losses.sum(), (jnp.where(is_used, likeliest, -1), jnp.exp(log_probs))

    gradients, (predicted, probabilities) = jax.grad(total_loss, has_aux=True)(vectors)
    is_real = (segments_of(row) > 0)[..., None]
    return LossGradients(jnp.where(is_real, gradients.astype(jnp.float32), 0.0), predicted, probabilities)
