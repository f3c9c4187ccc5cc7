"""A body without a head: hidden states, and what a new head is drawn on."""

from typing import Any, NoReturn

import flax.linen as nn

from jaxlm.models._config import TransformerConfig
from jaxlm.models._transformer import Output, Transformer
from jaxlm.typing import Array, Float, Int


class BodyModel(nn.Module):
    """A transformer whose file holds no head: BertModel and its like in `transformers`.

    Its parameters lie where those of every other model's body do, so that a head can be put on it.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = BodyModel(TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2))
      >>> tokens = jnp.array([[1, 2, 3]])
      >>> variables = model.init(jax.random.key(0), tokens)
      >>> list(variables["params"]), model.apply(variables, tokens).hidden.shape
      (['body'], (1, 3, 8))
    """

    config: TransformerConfig

    def setup(self) -> None:
        self.body = Transformer(self.config)

    def __call__(self, tokens: Int[Array, "B L"] | None = None, **arguments: Any) -> Output:
        """Returns the body's `Output`; arguments as for `Transformer`."""
        return self.body(tokens, **arguments)

    def token_vectors(
        self, tokens: Int[Array, "B L"], segments: Int[Array, "B L"] | None = None
    ) -> Float[Array, "B L D"]:
        """Returns what `__call__` takes as `embeddings` in the place of these tokens of these segments."""
        return self.body.token_vectors(tokens, segments)

    def logits(self, *arguments: Any, **named: Any) -> NoReturn:
        """Refuses to predict: there is no head.

        Raises:
          ValueError: always.
        """
        del arguments, named
        raise ValueError(
            "a body without a head gives hidden states and predicts nothing: build a model with one"
        )

    features = output_weights = outputs = logits
