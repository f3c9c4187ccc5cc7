"""Gradients of a prediction's loss with respect to the vectors of the tokens, and the saliency of each token.

Letters: `B` texts, `L` positions, `M` asked positions, `D` width.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.decoding._next_token_model import NextTokenModel, last_real, parts_of
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float, Int

# Instead of a position: nothing is predicted there. Instead of a target: the likeliest token.
NOT_ASKED, PREDICTED = -1, -1


class EmbeddingGradients(NamedTuple):
    """The gradient of the loss of a model's predictions with respect to each token's vector.

    Attributes:
      tokens: `Int[B L]`. The ids that the model read.
      segments: `Int[B L]`. 1 at real positions, 0 at padding.
      positions: `Int[B M]`. The indices into a row at which the model predicts; -1 in unused entries.
      targets: `Int[B M]`. The ids whose probabilities the loss is made of; meaningless in unused entries.
      loss: `Float32[B]`. The loss of each text: the mean of -log p(target) over its M predictions, in nats.
      gradients: `Float32[B L D]`. The gradient of each text's loss with respect to the vectors of its tokens,
        in nats per unit of the vectors; zero at padding.
      saliency: `Float32[B L]`, in [0, 1]. `|g . e|` for the gradient `g` and the vector `e` of each position,
        divided by the sum over the text, so that a text's saliencies sum to 1. All are 0 if that sum is 0;
        they are 0 at padding.
    """

    tokens: Int[Array, "B L"]
    segments: Int[Array, "B L"]
    positions: Int[Array, "B M"]
    targets: Int[Array, "B M"]
    loss: Float[Array, " B"]
    gradients: Float[Array, "B L D"]
    saliency: Float[Array, "B L"]


def embedding_gradients(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    *,
    segments: Int[Array, "B L"] | None = None,
    positions: Int[Array, "B M"] | None = None,
    targets: Int[Array, "B M"] | None = None,
) -> EmbeddingGradients:
    """Returns the gradient of each text's loss with respect to its token vectors; a pure function of arrays.

    `gradients[b, t] = d loss[b] / d e[b, t]` where `e = token_vectors(tokens)`. For a language model the
    vectors are the rows of its token embedding, before scaling and before positions are added; for your own
    embedder see `NextTokenModel.text_field_embedder`. A text's gradients do not depend on the rest of the
    batch. There is no dropout.

    Args:
      model: a `NextTokenModel`, a `CausalLM` or a `MaskedLM`; under `jax.jit` it must be static, not an
        argument that is traced.
      params: the model's parameters.
      tokens: `Int[B L]`, the ids that the model reads.
      segments: `Int[B L]`, 1 at real positions, 0 at padding; None: the rows have no padding.
      positions: `Int[B M]`, the indices into a row at which the model predicts; for a masked LM the indices
        of the mask tokens; -1 in unused entries. None: the last real position of each text.
      targets: `Int[B M]`, the ids whose probabilities the loss is made of; -1 stands for the likeliest token
        of the whole vocabulary. None: the likeliest token at every position. An id that the head does not
        have makes that text's results NaN.

    Raises:
      UsageError: if the model is a masked LM and `positions` is None, or the model is of another class.
      TypeError: if a part of the model returns no array.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import embedding_gradients
      >>> size = dict(vocab_size=7, width=8, depth=1, num_heads=2)
      >>> model = models.CausalLM(models.TransformerConfig(causal=True, **size))
      >>> tokens = jnp.array([[1, 2, 3]])
      >>> params = model.init(jax.random.key(0), tokens)["params"]
      >>> result = jax.jit(lambda params: embedding_gradients(model, params, tokens))(params)
      >>> result.gradients.shape, round(float(result.saliency.sum()), 4)
      ((1, 3, 8), 1.0)

    References:
      Simonyan et al., "Deep Inside Convolutional Networks", 2013, https://arxiv.org/abs/1312.6034; times the
        input and normalised as in Wallace et al., "AllenNLP Interpret", 2019,
        https://arxiv.org/abs/1909.09251 (simple gradient).
    """
    model, params = _as_next_token_model(model, params, positions)
    segments = jnp.ones(tokens.shape, jnp.int32) if segments is None else segments
    if positions is None:
        positions = jnp.where((segments > 0).any(1), last_real(segments), NOT_ASKED)[:, None]
    if targets is None:
        targets = jnp.full(positions.shape, PREDICTED, jnp.int32)
    vectors = models.apply_token_vectors(model, params, tokens, segments)

    def total_loss(changed: Array) -> tuple[Array, tuple[Array, Array]]:
        logits = model.apply(
            {"params": params},
            tokens,
            embeddings=changed,
            segments=segments,
            positions=jnp.maximum(positions, 0),
            method="logits",
        )
        if not isinstance(logits, jax.Array):
            raise TypeError(f"logits are an array: got {type(logits).__name__}")
        chosen = jnp.where(targets == PREDICTED, logits.argmax(-1).astype(targets.dtype), targets)
        losses = _mean_loss(logits, chosen, positions)
        return losses.sum(), (losses, chosen)

    gradients, (loss, chosen) = jax.grad(total_loss, has_aux=True)(vectors)
    gradients = jnp.where((segments > 0)[..., None], gradients.astype(jnp.float32), 0.0)
    saliency = input_saliency(gradients, vectors.astype(jnp.float32))
    return EmbeddingGradients(tokens, segments, positions, chosen, loss, gradients, saliency)


def input_saliency(gradients: Float[Array, "B L D"], vectors: Float[Array, "B L D"]) -> Float[Array, "B L"]:
    """Returns `|g . e| / sum over the text of |g . e|`; all 0 if that sum is 0.

    Args:
      gradients: `Float32[B L D]`, zero at padding.
      vectors: `Float32[B L D]`; where the gradient is zero they do not matter, not even if they are NaN.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding._embedding_gradients import input_saliency
      >>> gradients, vectors = jnp.array([[[1.0], [-3.0]], [[0.0], [0.0]]]), jnp.ones((2, 2, 1))
      >>> input_saliency(gradients, vectors).tolist()
      [[0.25, 0.75], [0.0, 0.0]]
    """
    strength = jnp.abs(jnp.where(gradients == 0.0, 0.0, gradients * vectors).sum(-1))
    total = strength.sum(-1, keepdims=True)
    return jnp.where(total > 0.0, strength / jnp.where(total > 0.0, total, 1.0), 0.0)


def _as_next_token_model(
    model: nn.Module, params: Mapping[str, Any], positions: Array | None
) -> tuple[NextTokenModel, Mapping[str, Any]]:
    """The model as a `NextTokenModel`, which predicts at any position, and its parameters."""
    if isinstance(model, NextTokenModel):
        return model, params
    if not isinstance(model, (models.CausalLM, models.MaskedLM)):
        raise UsageError(
            "gradients are computed for a NextTokenModel, a CausalLM or a MaskedLM: got a "
            f"{type(model).__name__}"
        )
    if isinstance(model, models.MaskedLM) and positions is None:
        raise UsageError("a masked LM predicts at its masks: got positions=None; give the masks' offsets")
    embedder, head = parts_of(model)
    whole = NextTokenModel(text_field_embedder=embedder, language_model_head=head)
    return whole, NextTokenModel.params_of(params)


def _mean_loss(
    logits: Float[Array, "B M V"], targets: Int[Array, "B M"], positions: Int[Array, "B M"]
) -> Float[Array, " B"]:
    is_asked = positions != NOT_ASKED
    nats = jnp.where(is_asked, -ops.gather_log_probs(logits, targets), 0.0)
    return nats.sum(1) / jnp.maximum(is_asked.sum(1, dtype=jnp.float32), 1.0)
