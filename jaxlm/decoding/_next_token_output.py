"""The output of a next-token model for a batch, as arrays and as plain values, and a running perplexity."""

import math
from typing import Any, NamedTuple

from jaxlm import tokenizers
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Float, Int


class NextTokenOutput(NamedTuple):
    """The predictions of a `NextTokenModel` for a batch.

    Attributes:
      probs: `Float32[B k]`. The probabilities of the k likeliest next tokens of each text, likeliest first.
      tokens: `Int[B k]`. The ids of these tokens.
      loss_sum: the sum over the texts of -log p(target), in nats; None without targets.
      weight: the number of texts that `loss_sum` adds up, without rows that are all padding; None without
        targets.
    """

    probs: Float[Array, "B k"]
    tokens: Int[Array, "B k"]
    loss_sum: Float[Array, ""] | None = None
    weight: Float[Array, ""] | None = None

    @property
    def loss(self) -> Float[Array, ""] | None:
        """The mean over the texts of -log p(target), in nats; None without targets."""
        if self.loss_sum is None or self.weight is None:
            return None
        return self.loss_sum / self.weight


class PerplexityTotal(NamedTuple):
    """The perplexity of all batches so far: `exp(sum of losses / number of targets)`; 1 before the first.

    Attributes:
      nats: the sum of the batches' losses, in nats.
      weight: the number of targets in all batches.

    Example:
      >>> import math
      >>> from jaxlm.decoding import PerplexityTotal
      >>> total = PerplexityTotal().update(math.log(4.0), 2.0).update(0.0, 2.0)
      >>> round(total.value, 4), total.reset().value
      (1.4142, 1.0)
    """

    nats: float = 0.0
    weight: float = 0.0

    def update(self, loss_sum: float | Array, weight: int | float | Array) -> "PerplexityTotal":
        """Returns new totals, with one more batch.

        Args:
          loss_sum: the sum of the batch's losses, in nats.
          weight: the number of targets in the batch.
        """
        return PerplexityTotal(self.nats + float(loss_sum), self.weight + float(weight))

    @property
    def value(self) -> float:
        """The perplexity of all batches so far."""
        return math.exp(self.nats / self.weight) if self.weight else 1.0

    def reset(self) -> "PerplexityTotal":
        """Returns totals of no batch, whose perplexity is 1."""
        return PerplexityTotal()


def output_to_dicts(
    output: NextTokenOutput,
    tokenizer: tokenizers.Tokenizer,
    tokens: Int[Array, "B L"],
    target_tokenizer: tokenizers.Tokenizer | None = None,
) -> list[dict[str, Any]]:
    """Returns the output of a batch as plain values, one dict for each text, as AllenNLP's predictor does.

    The keys are `probabilities`, `top_indices` and `top_tokens` for the predicted tokens, and `token_ids` and
    `tokens` for the text.

    Args:
      output: the output of a `NextTokenModel` for a batch.
      tokenizer: the tokenizer of the texts.
      tokens: `Int[B L]`, the ids that the model read.
      target_tokenizer: the tokenizer of the ids that the head predicts, if the head has another vocabulary;
        None: `tokenizer`.

    Raises:
      UsageError: if the head predicted an id that its tokenizer does not have.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm import tokenizers
      >>> from jaxlm.decoding import NextTokenOutput, output_to_dicts
      >>> output = NextTokenOutput(jnp.array([[0.75, 0.25]]), jnp.array([[99, 100]]))
      >>> values, = output_to_dicts(output, tokenizers.bytes_tokenizer(), jnp.array([[97, 98]]))
      >>> values["tokens"], values["top_tokens"], values["probabilities"]
      (['a', 'b'], ['c', 'd'], [0.75, 0.25])
    """
    writer = tokenizer if target_tokenizer is None else target_tokenizer
    highest = int(output.tokens.max(initial=0))
    if highest >= writer.vocab_size:
        raise UsageError(
            f"the head predicted an id of another vocabulary: this tokenizer has 0..{writer.vocab_size - 1}, "
            f"got {highest}; give the tokenizer of the head's ids as target_tokenizer"
        )
    return [
        {
            "probabilities": probs,
            "top_indices": top,
            "top_tokens": [writer.token(token) for token in top],
            "token_ids": ids,
            "tokens": [tokenizer.token(token) for token in ids],
        }
        for probs, top, ids in zip(
            output.probs.tolist(), output.tokens.tolist(), tokens.tolist(), strict=True
        )
    ]
