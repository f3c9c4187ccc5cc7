"""The base class of models with a body, which defines how they are called; and a body without a head."""

from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import flax.linen as nn

from jaxlm.models._cache import Cache
from jaxlm.models._config import TransformerConfig
from jaxlm.models._inputs import Inputs
from jaxlm.models._interventions import Intervention
from jaxlm.models._sites import Site
from jaxlm.models._transformer import Output, Transformer
from jaxlm.typing import Array, Float, Int


class ModelOnBody(nn.Module):
    """A body and perhaps a head. `__call__` runs the body alone; the caller applies the head."""

    config: TransformerConfig

    def __call__(
        self,
        inputs: Inputs | Int[Array, "B L"],
        *,
        cache: Cache | None = None,
        slots: Int[Array, "B L"] | None = None,
        interventions: Sequence[Intervention] = (),
        intermediates: Collection[Site] = (),
        deterministic: bool = True,
    ) -> Output:
        """Returns the body's `Output`.

        Args:
          inputs: an `Inputs` record; `Int[B L]` tokens stand for `Inputs(tokens=tokens)`.
          cache: keys and values of earlier tokens, see `Transformer`; None: nothing is cached.
          slots: `Int[B L]`, the index of the cache entry (slot) that each token is written to; None: the
            first L slots.
          interventions: changes of the values at sites, applied in this order.
          intermediates: the sites whose values are returned in `Output.intermediates`; static.
          deterministic: whether dropout is off. If it is on, `rngs={"dropout": key}` is needed where a rate
            is not 0.
        """
        output = self.body(
            inputs,
            cache=cache,
            slots=slots,
            interventions=interventions,
            intermediates=intermediates,
            deterministic=deterministic,
        )
        if self.is_initializing():
            self._make_head(output.hidden[:, :1])
        return output

    def token_vectors(
        self, tokens: Int[Array, "B L"], segments: Int[Array, "B L"] | None = None
    ) -> Float[Array, "B L D"]:
        """Returns the embeddings that `Inputs` takes in place of tokens.

        Args:
          tokens: `Int[B L]` token ids.
          segments: `Int[B L]`; None: each row is one segment.
        """
        return self.body.token_vectors(tokens, segments)

    def _make_head(self, hidden: Float[Array, "B 1 D"]) -> None:
        """Creates the head's parameters, by applying it."""
        raise TypeError(f"{type(self).__name__} has no head")


class BodyModel(ModelOnBody):
    """A transformer without a head, such as BertModel in `transformers`.

    Its parameters have the same names as the body of every other model, so a head can be added later.

    Example:
      >>> from jaxlm.models import BodyModel, TransformerConfig
      >>> import jax, jax.numpy as jnp
      >>> model = BodyModel(TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2))
      >>> tokens = jnp.array([[1, 2, 3]])
      >>> variables = model.init(jax.random.key(0), tokens)
      >>> list(variables["params"]), model.apply(variables, tokens).hidden.shape
      (['body'], (1, 3, 8))
    """

    def setup(self) -> None:
        """Creates the body."""
        self.body = Transformer(self.config)

    def logits(self, *arguments: Any, **named: Any) -> NoReturn:
        """Raises ValueError, because this model has no head.

        Raises:
          ValueError: always.
        """
        del arguments, named
        raise ValueError(
            "a body without a head gives hidden states and predicts nothing: build a model with one"
        )

    features = output_weights = outputs = logits

    def _make_head(self, hidden: Float[Array, "B 1 D"]) -> None:
        del hidden  # there is none
