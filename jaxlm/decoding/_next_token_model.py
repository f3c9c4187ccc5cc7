"""The next-token model: an embedder, an optional contextualizer and a head, each a module with a contract.

It is AllenNLP's `NextTokenLM` as a linen module: it predicts one next token of each text, from its last real
position, and computes the loss of given ones. Letters: `B` texts, `L` positions, `M` asked positions, `D`
width, `V` vocabulary.
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
from jaxlm.io import matches_type
from jaxlm.typing import Array, Float, Int


class NextTokenModel(nn.Module):
    """Predicts each text's next token: `head(dropout(contextualizer(embedder(tokens))[last real position]))`.

    The three parts are modules of your own or of a language model.

    Attributes:
      text_field_embedder: a module that is called as `embedder(inputs, deterministic=...)` with
        `models.Inputs` of `Int[B L]` tokens and segments (1 = real, 0 = padding) and returns vectors `Float[B
        L D]`, or a `models.Output` of them: `models.Transformer` and `models.BodyModel` are such modules. If
        the module has a method `token_vectors(tokens, segments)`, which returns the vectors of single tokens,
        the module must accept such vectors as `inputs.embeddings`, and gradients are taken with respect to
        them. Otherwise gradients are taken with respect to the vectors that the module returns.
      language_model_head: a module that is called with vectors `Float[... D]` and returns logits
        `Float[... V]`, such as `language_model_head("gpt2")`. A tied kernel, a transform and a soft cap are
        part of the head.
      contextualizer: a module that is called as `contextualizer(vectors, mask, deterministic=...)` with
        `Float[B L D]` and `Bool[B L]` (True = real) and returns vectors of any width D. None: the head reads
        the embedder's vectors.
      dropout: the dropout rate before the head, in [0, 1). The model has no other dropout of its own.
      top_k: how many tokens are reported for each text, at most the size of the vocabulary.
      initializer: a function of a PRNG key and of fresh parameters that returns the parameters to begin with.
        None: the fresh parameters are used.

    Raises:
      UsageError: if a part is not callable, the rate is outside [0, 1), or `top_k` is not positive.

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
        if not matches_type(self.dropout, float) or not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is a rate in [0, 1): got {self.dropout!r}")
        check_top_k(self.top_k)
        super().__post_init__()

    @classmethod
    def of_language_model(cls, model: nn.Module, **options: Any) -> "NextTokenModel":
        """Returns the next-token model that is made of the body and the head of a causal LM.

        Args:
          model: a `CausalLM`, such as `pretrained.load(folder).model`.
          **options: further attributes of the next-token model, such as `top_k`.

        Raises:
          UsageError: if the model is not a `CausalLM`.

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
        embedder, head = parts_of(model)
        return cls(text_field_embedder=embedder, language_model_head=head, **options)

    @staticmethod
    def params_of(params: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a language model's parameters in the form that the model of `of_language_model` reads.

        Args:
          params: the parameters of a causal LM, such as `pretrained.load(folder).params`.

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
        """Returns the likeliest next tokens and, with targets, the loss.

        Args:
          tokens: `Int[B L]` ids.
          segments: `Int[B L]` 1 at real positions, 0 at padding; None: no padding.
          targets: `Int[B]` ids of the true next tokens; an id that the head does not have makes the loss NaN.
          deterministic: no dropout. If False and the rate is not 0, `rngs={"dropout": key}` is needed.

        Raises:
          UsageError: if a part breaks its contract.
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
        """Returns float32 logits `[B M V]` at the given positions; no logits are computed elsewhere.

        Args:
          tokens: `Int[B L]`, the ids that the model reads.
          positions: `Int[B M]`, indices into the rows.
          segments: `Int[B L]`, 1 at real positions, 0 at padding.
          embeddings: `Float[B L D]`, vectors that are read instead of the tokens' own; None:
            `token_vectors(tokens, segments)`.
          deterministic: True switches dropout off.

        Raises:
          UsageError: if a part breaks its contract.
        """
        hidden = embed(self.text_field_embedder, tokens, embeddings, segments, deterministic=deterministic)
        hidden = contextualize(self.contextualizer, hidden, segments > 0, deterministic=deterministic)
        asked = jnp.take_along_axis(hidden, positions[..., None], axis=1)
        if self.dropout and not deterministic:
            asked = ops.dropout(self.make_rng("dropout"), asked, self.dropout)
        return call_head(self.language_model_head, asked)

    def token_vectors(self, tokens: Int[Array, "B L"], segments: Int[Array, "B L"]) -> Float[Array, "B L D"]:
        """Returns the vectors `[B L D]` that gradients are taken with respect to (see `text_field_embedder`).

        Args:
          tokens: `Int[B L]`, the ids that the model reads.
          segments: `Int[B L]`, 1 at real positions, 0 at padding.
        """
        return word_vectors(self.text_field_embedder, tokens, segments)

    def init_params(self, rng: jax.Array, tokens: Int[Array, "B L"]) -> dict[str, Any]:
        """Returns fresh parameters, to which the initializer has been applied.

        Args:
          rng: a PRNG key; do not use the key again.
          tokens: `Int[B L]`; only the shape and the dtype matter.
        """
        draw_rng, initializer_rng = jax.random.split(rng)
        variables = self.init(draw_rng, tokens)
        params: dict[str, Any] = {**variables["params"]} if "params" in variables else {}
        return params if self.initializer is None else dict(self.initializer(initializer_rng, params))


def parts_of(model: models.CausalLM | models.MaskedLM) -> tuple[nn.Module, nn.Module]:
    """Returns a language model's embedder and its head as modules of their own."""
    embedder = models.Transformer(model.config)
    return embedder, models.TokenHead(model.config, embedder)


def last_real(segments: Int[Array, "B L"]) -> Int[Array, " B"]:
    """Returns the offset of each row's last real position, with padding on either side; 0 without one.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding._next_token_model import last_real
      >>> last_real(jnp.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]])).tolist()
      [1, 2, 0]
    """
    offsets = jnp.arange(segments.shape[1], dtype=jnp.int32)[None]
    return jnp.where(segments > 0, offsets, 0).max(1)
