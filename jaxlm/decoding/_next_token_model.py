"""The next-token model: an embedder, what may stand between, and a head, each a module by its contract.

AllenNLP's `NextTokenLM` as a linen module: one next token for each text from its last real position, and a
loss against given ones. Letters: `B` texts, `L` positions, `M` asked positions, `D` width, `V` vocabulary.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.decoding._embedders import call_head, check_part, contextualize, embed, word_vectors
from jaxlm.decoding._loaded_texts import check_top_k
from jaxlm.decoding._next_token_output import NextTokenOutput
from jaxlm.errors import UsageError
from jaxlm.io import fits
from jaxlm.typing import Array, Float, Int


class NextTokenModel(nn.Module):
    """What comes after each text: `head(dropout(contextualizer(embedder(tokens))[last real position]))`.

    Attributes:
      text_field_embedder: a module that is called as `embedder(inputs, deterministic=...)` with
        `models.Inputs` of `Int[B L]` tokens and segments (1 = real, 0 = padding) and returns vectors `Float[B
        L D]`, or a `models.Output` of them: `models.Transformer` and `models.BodyModel` are such modules. If
        it has a method `token_vectors(tokens, segments)`, which returns the vectors of single tokens, it
        takes those as `inputs.embeddings` too, and gradients are with respect to them; otherwise with respect
        to what it returns.
      language_model_head: a module that is called with vectors `Float[... D]` and returns logits
        `Float[... V]`; `language_model_head("gpt2")` and its like make one. A tied kernel, a transform and a
        soft cap are the head's own.
      contextualizer: None, or a module that is called as `contextualizer(vectors, mask, deterministic=...)`
        with `Float[B L D]` and `Bool[B L]` (True = real) and returns `Float[B L D]`, of any width.
      dropout: rate before the head, and nowhere else, in [0, 1).
      top_k: how many tokens are reported; cut to the vocabulary.
      initializer: None, or what is made of the parameters after they are drawn: of a key and parameters.

    Raises:
      UsageError: if a part is no module, the rate is outside [0, 1), or `top_k` is not positive.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import NextTokenModel
      >>> config = models.TransformerConfig(causal=True, vocab_size=7, width=8, depth=1, num_heads=2)
      >>> embedder = models.Transformer(config)
      >>> head = models.TokenHead(config, table_owner=embedder)
      >>> model = NextTokenModel(text_field_embedder=embedder, language_model_head=head, top_k=3)
      >>> tokens, segments = jnp.array([[1, 2, 3], [4, 5, 0]]), jnp.array([[1, 1, 1], [1, 1, 0]])
      >>> params = model.init_params(jax.random.key(0), tokens)
      >>> output = model.apply({"params": params}, tokens, segments=segments, targets=jnp.array([4, 6]))
      >>> output.tokens.shape, float(output.weight)
      ((2, 3), 2.0)
    """

    text_field_embedder: nn.Module
    language_model_head: nn.Module
    contextualizer: nn.Module | None = None
    dropout: float = 0.0
    top_k: int = 5
    initializer: Callable[[jax.Array, Mapping[str, Any]], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        for name in ("text_field_embedder", "language_model_head"):
            check_part(name, getattr(self, name))
        if not fits(self.dropout, float) or not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is a rate in [0, 1): got {self.dropout!r}")
        check_top_k(self.top_k)
        super().__post_init__()

    @classmethod
    def of_language_model(cls, model: nn.Module, **options: Any) -> "NextTokenModel":
        """Returns the next-token model that has a causal LM's body as its embedder, and its head.

        Args:
          model: a `CausalLM`, such as `pretrained.load(folder).model`.
          options: other attributes, by name.

        Raises:
          UsageError: if the model is no causal LM.

        Example:
          >>> import jax
          >>> import jax.numpy as jnp
          >>> from jaxlm import models
          >>> from jaxlm.decoding import NextTokenModel
          >>> size = dict(vocab_size=7, width=8, depth=1, num_heads=2)
          >>> lm = models.CausalLM(models.TransformerConfig(causal=True, **size))
          >>> params = lm.init(jax.random.key(0), jnp.array([[1, 2]]))["params"]
          >>> model = NextTokenModel.of_language_model(lm, top_k=2)
          >>> variables = {"params": NextTokenModel.params_of(params)}
          >>> model.apply(variables, jnp.array([[1, 2]])).tokens.shape
          (1, 2)
        """
        if not isinstance(model, models.CausalLM):
            raise UsageError(
                f"next tokens are predicted by a CausalLM: got a {type(model).__name__}; "
                "masks are filled by decoding.fill"
            )
        return cls(**parts_of(model), **options)

    @staticmethod
    def params_of(params: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a language model's parameters as those of `of_language_model`.

        Args:
          params: such as `pretrained.load(folder).params`.

        Example:
          >>> from jaxlm.decoding import NextTokenModel
          >>> NextTokenModel.params_of({"body": {"a": 1}, "head": {}})
          {'text_field_embedder': {'a': 1}, 'language_model_head': {}}
        """
        return {"text_field_embedder": params["body"], "language_model_head": params.get("head", {})}

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
          tokens: `Int[B L]`.
          segments: `Int[B L]` 1 at real positions, 0 at padding; None: no padding.
          targets: `Int[B]` ids of the true next tokens; an id that the head does not have makes the loss NaN.
          deterministic: no dropout. Otherwise `rngs={"dropout": key}` is needed where the rate is not 0.

        Raises:
          UsageError: if a part returns what its contract does not allow.
        """
        segments = jnp.ones(tokens.shape, jnp.int32) if segments is None else segments
        last = last_real(segments)[:, None]
        logits = self.logits(tokens, segments=segments, positions=last, deterministic=deterministic)[:, 0]
        log_probs, top = jax.lax.top_k(jax.nn.log_softmax(logits, axis=-1), min(self.top_k, logits.shape[-1]))
        if targets is None:
            return NextTokenOutput(jnp.exp(log_probs), top)
        is_text = (segments > 0).any(1)
        nats = jnp.where(is_text, -ops.gather_log_probs(logits, targets), 0.0)
        return NextTokenOutput(jnp.exp(log_probs), top, nats.sum(), is_text.sum(dtype=jnp.float32))

    def logits(
        self,
        tokens: Int[Array, "B L"],
        *,
        positions: Int[Array, "B M"],
        segments: Int[Array, "B L"],
        embeddings: Float[Array, "B L D"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "B M V"]:
        """Returns float32 logits at the positions asked, and computes no others.

        Args:
          tokens: `Int[B L]`.
          positions: `Int[B M]` offsets in the rows.
          segments: `Int[B L]` 1 at real positions, 0 at padding.
          embeddings: `Float[B L D]` in the place of `token_vectors(tokens, segments)`; None: those.
          deterministic: no dropout.

        Raises:
          UsageError: if a part returns what its contract does not allow.
        """
        hidden = embed(self.text_field_embedder, tokens, embeddings, segments, deterministic=deterministic)
        hidden = contextualize(self.contextualizer, hidden, segments > 0, deterministic=deterministic)
        asked = jnp.take_along_axis(hidden, positions[..., None], axis=1)
        if self.dropout and not deterministic:
            asked = ops.dropout(self.make_rng("dropout"), asked, self.dropout)
        return call_head(self.language_model_head, asked)

    def token_vectors(self, tokens: Int[Array, "B L"], segments: Int[Array, "B L"]) -> Float[Array, "B L D"]:
        """Returns what the gradients of a loss are with respect to; see `text_field_embedder`."""
        return word_vectors(self.text_field_embedder, tokens, segments)

    def init_params(self, rng: jax.Array, tokens: Int[Array, "B L"]) -> dict[str, Any]:
        """Returns fresh parameters, after the initializer.

        Args:
          rng: PRNG key, consumed.
          tokens: `Int[B L]` of any values.
        """
        draw_rng, initializer_rng = jax.random.split(rng)
        params = self.init(draw_rng, tokens).get("params", {})
        return dict(params if self.initializer is None else self.initializer(initializer_rng, params))


def parts_of(model: models.CausalLM | models.MaskedLM) -> dict[str, nn.Module]:
    """Returns a language model's embedder and head, by the names of `NextTokenModel`'s attributes."""
    embedder = models.Transformer(model.config)
    return {"text_field_embedder": embedder, "language_model_head": models.TokenHead(model.config, embedder)}


def last_real(segments: Int[Array, "B L"]) -> Int[Array, " B"]:
    """Returns the offset of each row's last real position, whichever side its padding is on; 0 without one.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding._next_token_model import last_real
      >>> last_real(jnp.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]])).tolist()
      [1, 2, 0]
    """
    offsets = jnp.arange(segments.shape[1], dtype=jnp.int32)[None]
    return jnp.where(segments > 0, offsets, 0).max(1)
