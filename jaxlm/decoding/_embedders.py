"""Calls of a next-token model's parts, which may be a user's own modules, with checks of their contracts.

Letters: `B` texts, `L` positions, `M` asked positions, `D` width, `V` vocabulary.
"""

from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.decoding._cached_rows import instruction_end_id
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Bool, Float, Int


@runtime_checkable
class TokenEmbedder(Protocol):
    """An embedder that can return the vectors of single tokens, and reads them instead of tokens."""

    def token_vectors(
        self, tokens: Int[Array, "B L"], segments: Int[Array, "B L"] | None = None
    ) -> Float[Array, "B L D"]:
        """Returns the vectors of single tokens.

        Args:
          tokens: `Int[B L]` ids.
          segments: `Int[B L]` 0 at padding.
        """
        ...


def check_part(name: str, part: Any) -> None:
    """Checks that a part of a next-token model can be called.

    Args:
      name: of the attribute.
      part: its value.

    Raises:
      UsageError: if the part is not callable; the message names both.

    Example:
      >>> from jaxlm.decoding._embedders import check_part
      >>> check_part("language_model_head", "gpt2")
      Traceback (most recent call last):
      jaxlm.errors.UsageError: a language_model_head is a module: got 'gpt2'; make one by ...
    """
    if not callable(part):
        remedy = "; make one by decoding.language_model_head" if name == "language_model_head" else ""
        raise UsageError(f"a {name} is a module: got {part!r:.60}{remedy}")


def word_vectors(
    embedder: nn.Module, tokens: Int[Array, "B L"], segments: Int[Array, "B L"]
) -> Float[Array, "B L D"]:
    """Returns the vectors of single tokens: the embedder's `token_vectors`.

    Without such a method they are the vectors that the embedder returns for the texts.

    Args:
      embedder: an embedder as `NextTokenModel` describes it, bound.
      tokens: `Int[B L]` ids.
      segments: `Int[B L]` 0 at padding.
    """
    if isinstance(embedder, TokenEmbedder):
        return embedder.token_vectors(tokens, segments)
    return embed(embedder, tokens, None, segments, deterministic=True)


def embed(
    embedder: nn.Module,
    tokens: Int[Array, "B L"],
    vectors: Float[Array, "B L D"] | None,
    segments: Int[Array, "B L"],
    *,
    deterministic: bool,
) -> Float[Array, "B L D"]:
    """Returns the embedder's vectors of texts.

    Args:
      embedder: an embedder as `NextTokenModel` describes it, bound.
      tokens: `Int[B L]` ids.
      vectors: `Float[B L D]` to use instead of `word_vectors(embedder, tokens, segments)`; None: those.
      segments: `Int[B L]` 0 at padding.
      deterministic: no dropout.

    Raises:
      UsageError: if the embedder does not return one vector for each token.
    """
    inputs = models.Inputs(tokens=tokens, segments=segments)
    if vectors is not None:
        if not isinstance(embedder, TokenEmbedder):
            return vectors
        positions = _positions(embedder, tokens, segments)
        inputs = models.Inputs(embeddings=vectors, segments=segments, positions=positions)
    output = embedder(inputs, deterministic=deterministic)
    hidden = output.hidden if isinstance(output, models.Output) else output
    _check_vectors(hidden, tokens.shape, "a text_field_embedder", embedder)
    return hidden


def contextualize(
    contextualizer: nn.Module | None,
    vectors: Float[Array, "B L D"],
    mask: Bool[Array, "B L"],
    *,
    deterministic: bool,
) -> Float[Array, "B L _"]:
    """Returns the contextualizer's vectors, of any width; without a contextualizer, the vectors themselves.

    Args:
      contextualizer: a module as `NextTokenModel` describes it, bound; or None.
      vectors: `Float[B L D]`.
      mask: `Bool[B L]` True = real.
      deterministic: no dropout.

    Raises:
      UsageError: if it does not return one vector for each token.
    """
    if contextualizer is None:
        return vectors
    hidden = contextualizer(vectors, mask, deterministic=deterministic)
    _check_vectors(hidden, vectors.shape[:2], "a contextualizer", contextualizer)
    return hidden


def call_head(head: nn.Module, vectors: Float[Array, "B M D"]) -> Float[Array, "B M V"]:
    """Returns the float32 logits of a head.

    Args:
      head: a head as `NextTokenModel` describes it, bound.
      vectors: `Float[B M D]`.

    Raises:
      UsageError: if it does not return one row of logits for each vector.
    """
    logits = head(vectors)
    if not _is_floats(logits) or logits.shape[:-1] != vectors.shape[:-1] or logits.ndim != vectors.ndim:
        raise UsageError(
            f"a language_model_head returns floats of [..., V] for vectors of {list(vectors.shape)}: got "
            f"{_describe(logits)} from {type(head).__name__}"
        )
    return logits.astype(jnp.float32)


def _positions(embedder: nn.Module, tokens: Array, segments: Array) -> Array | None:
    """Positions that follow from the tokens, which an embedder cannot compute from vectors; None: it can."""
    config = getattr(embedder, "config", None)
    end_id = instruction_end_id(config) if isinstance(config, models.TransformerConfig) else None
    return None if end_id is None else ops.instruction_positions(tokens, segments, end_id)


def _check_vectors(vectors: Any, shape: tuple[int, ...], what: str, module: nn.Module) -> None:
    if _is_floats(vectors) and vectors.ndim == 3 and vectors.shape[:2] == shape:
        return
    raise UsageError(
        f"{what} returns one vector for each token, floats of [{shape[0]}, {shape[1]}, width] for these "
        f"texts: got {_describe(vectors)} from {type(module).__name__}"
    )


def _is_floats(value: Any) -> bool:
    return hasattr(value, "shape") and jnp.issubdtype(value.dtype, jnp.floating)


def _describe(value: Any) -> str:
    return f"{value.dtype}{list(value.shape)}" if hasattr(value, "shape") else type(value).__name__
