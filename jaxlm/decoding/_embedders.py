"""Calling the parts of a next-token model that are a user's own, and refusing what breaks their contracts.

Letters: `B` texts, `L` positions, `M` asked positions, `D` width, `V` vocabulary.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxlm import models, ops
from jaxlm.errors import UsageError
from jaxlm.typing import Array, Bool, Float, Int


def check_part(name: str, part: Any) -> None:
    """Refuses what cannot be called in the place of a module.

    Args:
      name: of the attribute.
      part: what is given for it.

    Raises:
      UsageError: naming both.

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
    """Returns the vectors that stand for tokens before anything looks at their neighbours.

    They are the embedder's `token_vectors`, and what it returns where it has no such method.

    Args:
      embedder: by the contract of `NextTokenModel`, bound.
      tokens: `Int[B L]` ids.
      segments: `Int[B L]` 0 at padding.
    """
    if hasattr(embedder, "token_vectors"):
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
    """Returns the embedder's vectors of tokens, or of what stands in the place of their `word_vectors`.

    Args:
      embedder: by the contract of `NextTokenModel`, bound.
      tokens: `Int[B L]` ids.
      vectors: `Float[B L D]` in the place of `word_vectors(embedder, tokens, segments)`; None: those.
      segments: `Int[B L]` 0 at padding.
      deterministic: no dropout.

    Raises:
      UsageError: if the embedder returns no vector a token.
    """
    inputs = models.Inputs(tokens=tokens, segments=segments)
    if vectors is not None:
        if not hasattr(embedder, "token_vectors"):
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
    """Returns what a contextualizer makes of vectors, of any width; without one, the vectors.

    Args:
      contextualizer: by the contract of `NextTokenModel`, bound; or None.
      vectors: `Float[B L D]`.
      mask: `Bool[B L]` True = real.
      deterministic: no dropout.

    Raises:
      UsageError: if it returns no vector a token.
    """
    if contextualizer is None:
        return vectors
    hidden = contextualizer(vectors, mask, deterministic=deterministic)
    _check_vectors(hidden, vectors.shape[:2], "a contextualizer", contextualizer)
    return hidden


def call_head(head: nn.Module, vectors: Float[Array, "B M D"]) -> Float[Array, "B M V"]:
    """Returns the float32 logits that a head makes of vectors.

    Args:
      head: by the contract of `NextTokenModel`, bound.
      vectors: `Float[B M D]`.

    Raises:
      UsageError: if it returns no row of logits a vector.
    """
    logits = head(vectors)
    if not _is_floats(logits) or logits.shape[:-1] != vectors.shape[:-1] or logits.ndim != vectors.ndim:
        raise UsageError(
            f"a language_model_head returns floats of [..., V] for vectors of {list(vectors.shape)}: got "
            f"{_told(logits)} from {type(head).__name__}"
        )
    return logits.astype(jnp.float32)


def _positions(embedder: nn.Module, tokens: Array, segments: Array) -> Array | None:
    """What an embedder that is given vectors cannot know: positions that are read off the tokens."""
    config = getattr(embedder, "config", None)
    position = config.position if isinstance(config, models.TransformerConfig) else None
    if not isinstance(position, models.Instruction):
        return None
    return ops.instruction_positions(tokens, segments, position.next_id)


def _check_vectors(vectors: Any, shape: tuple[int, ...], what: str, module: nn.Module) -> None:
    if _is_floats(vectors) and vectors.ndim == 3 and vectors.shape[:2] == shape:
        return
    raise UsageError(
        f"{what} returns one vector a token, floats of [{shape[0]}, {shape[1]}, width] for these texts: got "
        f"{_told(vectors)} from {type(module).__name__}"
    )


def _is_floats(value: Any) -> bool:
    return hasattr(value, "shape") and jnp.issubdtype(value.dtype, jnp.floating)


def _told(value: Any) -> str:
    return f"{value.dtype}{list(value.shape)}" if hasattr(value, "shape") else type(value).__name__
