"""The next-token model: a language model's embeddings and head, with what may stand between them.

AllenNLP's `NextTokenLM` as a linen module: one next token for each text from its last position, a loss
against given ones, and a perplexity that batches of any sizes add up to.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import models, ops, tokenizers
from jaxlm.typing import Array, Bool, Float, Int


class NextTokenOutput(NamedTuple):
    """What a `NextTokenModel` says of a batch.

    Attributes:
      probs: `Float32[B k]` of the likeliest next tokens, best first.
      tokens: `Int[B k]` their ids.
      loss_sum: sum over the texts of -log p(target), nats; None without targets.
      weight: how many texts that is; None without targets.
    """

    probs: Float[Array, "B k"]
    tokens: Int[Array, "B k"]
    loss_sum: Float[Array, ""] | None = None
    weight: Float[Array, ""] | None = None

    @property
    def loss(self) -> Float[Array, ""] | None:
        """Mean -log p(target) in nats; None without targets."""
        return None if self.loss_sum is None else self.loss_sum / self.weight


class NextTokenModel(nn.Module):
    """A causal LM that answers for the token after each text.

    Attributes:
      language_model: a `CausalLM`: its body makes vectors of texts, its head logits of vectors.
      contextualizer: None, or a module that takes `Float[B L D]` vectors and `Bool[B L]` (True = real) and
        returns one vector a text, `Float[B D]`; the body's vector at the last real position otherwise.
      dropout: rate before the head, and nowhere else.
      top_k: how many tokens are reported; cut to the vocabulary.
      initializer: None, or what is made of the parameters after they are drawn: of a key and parameters.

    Example:
      >>> size = dict(vocab_size=7, width=8, depth=1, num_heads=2)
      >>> model = NextTokenModel(models.CausalLM(models.TransformerConfig(causal=True, **size)), top_k=3)
      >>> tokens, segments = jnp.array([[1, 2, 3], [4, 5, 0]]), jnp.array([[1, 1, 1], [1, 1, 0]])
      >>> params = model.init_params(jax.random.key(0), tokens)
      >>> output = model.apply({"params": params}, tokens, segments=segments, targets=jnp.array([4, 6]))
      >>> output.tokens.shape, float(output.weight)
      ((2, 3), 2.0)
    """

    language_model: models.CausalLM
    contextualizer: nn.Module | None = None
    dropout: float = 0.0
    top_k: int = 5
    initializer: Callable[[jax.Array, Mapping[str, Any]], Mapping[str, Any]] | None = None

    def __call__(
        self,
        tokens: Int[Array, "B L"],
        *,
        segments: Int[Array, "B L"] | None = None,
        targets: Int[Array, " B"] | None = None,
        deterministic: bool = True,
    ) -> NextTokenOutput:
        """Returns the likeliest next tokens and, with targets, their loss.

        Args:
          tokens: `Int[B L]`, padded on the right.
          segments: `Int[B L]` 1 at real positions, 0 at padding; None: no padding.
          targets: `Int[B]` ids of the true next tokens.
          deterministic: no dropout. Otherwise `rngs={"dropout": key}` is needed where the rate is not 0.
        """
        segments = jnp.ones(tokens.shape, jnp.int32) if segments is None else segments
        hidden = self.language_model(tokens, segments=segments, deterministic=deterministic).hidden
        summary = self._summary(hidden, segments > 0)
        if self.dropout and not deterministic:
            summary = ops.dropout(self.make_rng("dropout"), summary, self.dropout)
        logits = self.language_model.logits(summary)
        log_probs, top = jax.lax.top_k(jax.nn.log_softmax(logits, axis=-1), min(self.top_k, logits.shape[-1]))
        if targets is None:
            return NextTokenOutput(jnp.exp(log_probs), top)
        loss_sum = -ops.gather_log_probs(logits, targets).sum()
        return NextTokenOutput(jnp.exp(log_probs), top, loss_sum, jnp.float32(targets.shape[0]))

    def init_params(self, rng: jax.Array, tokens: Int[Array, "B L"]) -> dict[str, Any]:
        """Returns fresh parameters, after the initializer.

        Args:
          rng: PRNG key, consumed.
          tokens: `Int[B L]` of any values.
        """
        draw_rng, initializer_rng = jax.random.split(rng)
        params = self.init(draw_rng, tokens)["params"]
        return dict(params if self.initializer is None else self.initializer(initializer_rng, params))

    def _summary(self, hidden: Float[Array, "B L D"], real: Bool[Array, "B L"]) -> Float[Array, "B D"]:
        if self.contextualizer is not None:
            return self.contextualizer(hidden, real)
        last = jnp.maximum(real.sum(1, dtype=jnp.int32) - 1, 0)
        return jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]


class PerplexityTotal(NamedTuple):
    """Sums that a perplexity is made of: `exp(sum of nats / sum of weights)`, 1 where nothing was counted.

    Example:
      >>> total = PerplexityTotal().update(math.log(4.0), 2.0).update(0.0, 2.0)
      >>> round(total.value, 4), total.reset().value
      (1.4142, 1.0)
    """

    nats: float = 0.0
    weight: float = 0.0

    def update(self, loss_sum: float | Array, weight: int | float | Array) -> "PerplexityTotal":
        """Returns the totals with a batch more."""
        return PerplexityTotal(self.nats + float(loss_sum), self.weight + float(weight))

    @property
    def value(self) -> float:
        """The perplexity of all batches together."""
        return math.exp(self.nats / self.weight) if self.weight else 1.0

    def reset(self) -> "PerplexityTotal":
        """Returns totals of nothing."""
        return PerplexityTotal()


def readable(
    output: NextTokenOutput, tokenizer: tokenizers.Tokenizer, tokens: Int[Array, "B L"]
) -> list[dict[str, Any]]:
    """Returns the output of a batch as plain values, one dict a text, as AllenNLP's predictor has them.

    The keys are `probabilities`, `top_indices`, `top_tokens`, `token_ids` and `tokens`.

    Args:
      output: of a `NextTokenModel`.
      tokenizer: the model's tokenizer.
      tokens: `Int[B L]` what it was asked.
    """
    return [
        {
            "probabilities": probs,
            "top_indices": top,
            "top_tokens": [tokenizer.token(token) for token in top],
            "token_ids": ids,
            "tokens": [tokenizer.token(token) for token in ids],
        }
        for probs, top, ids in zip(
            output.probs.tolist(), output.tokens.tolist(), tokens.tolist(), strict=True
        )
    ]
