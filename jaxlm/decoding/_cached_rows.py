"""What a model is asked while it writes: read a prompt, read one more token.

A causal model goes on from its prompt; an encoder-decoder's encoder reads it, once, and its decoder writes
from its first token on. What follows is the same for both. A row's tokens stand in the slots of its cache in
order, the token at offset i in slot i, so that a slot may be read from every offset from its own on. Letters:
`B` rows, `P` prompt, `S` slots, `V` vocabulary.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from jaxlm import models, ops
from jaxlm.errors import ConfigError
from jaxlm.typing import Array, Bool, Float, Int


class CachedRows(NamedTuple):
    """Rows that are being read: what the model keeps of them, and where the next token will stand.

    Attributes:
      cache: of S slots a row.
      offsets: `Int[B]` how many tokens each row holds: the slot of the next one.
      positions: `Int[B]`, of "instruction" positions `Int[B 2]`: what the model is told of the next token, up
        to what the last token read changes.
    """

    cache: models.Cache
    offsets: Int[Array, " B"]
    positions: Int[Array, " B"] | Int[Array, "B 2"]


def has_encoder(model: nn.Module) -> bool:
    """Returns whether a model writes from a prompt, and not behind it: see `ModelKind.encoder`."""
    return isinstance(model, models.Seq2SeqLM)


def writer_config(model: nn.Module) -> models.TransformerConfig:
    """Returns the config of what writes: the model's, or its decoder's."""
    return models.decoder_config(model.config) if has_encoder(model) else model.config


def first_token(model: nn.Module) -> int:
    """Returns the id that an encoder-decoder's decoder reads first.

    Raises:
      ConfigError: if its config does not say.
    """
    decoder = model.config.decoder
    if decoder is None or decoder.start_id is None:
        raise ConfigError(
            "a decoder begins with a token of its own: got decoder.start_id=None; set it in the config"
        )
    return decoder.start_id


def context_width(model: nn.Module, width: int) -> int:
    """Returns how many slots what a model has read takes before it writes, of prompts of so many tokens."""
    return 1 if has_encoder(model) else width


def read_prompts(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    num_slots: int,
) -> tuple[Float[Array, "B V"], CachedRows]:
    """Returns the float32 logits after each prompt, and the rows to go on from.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: its parameters.
      tokens: `Int[B P]`, padded on the right.
      lengths: `Int[B]` how many of a row are real; what follows is not kept. A row of length 0 gives logits
        that mean nothing.
      num_slots: S, more than `context_width`; static.
    """
    hidden, reading = read_hidden(model, params, tokens, lengths, num_slots)
    rows = jnp.arange(tokens.shape[0], dtype=jnp.int32)
    last = hidden[rows, jnp.maximum(reading.offsets - 1, 0)]
    return model.apply({"params": params}, last, method="logits"), reading


def read_hidden(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    num_slots: int,
) -> tuple[Float[Array, "B L D"], CachedRows]:
    """Returns what the head reads of each token of the prompts, and the rows; arguments as `read_prompts`.

    L is `context_width`: of an encoder-decoder the vector is that of the decoder's first token.
    """
    if not has_encoder(model):
        return _read_first(model, params, models.Inputs(tokens=tokens), lengths, num_slots)
    segments = (jnp.arange(tokens.shape[1], dtype=jnp.int32)[None] < lengths[:, None]).astype(jnp.int32)
    source = models.Inputs(tokens=tokens, segments=segments)
    first = jnp.full((tokens.shape[0], 1), first_token(model), jnp.int32)
    inputs = models.Inputs(tokens=first, encoder=source)
    return _read_first(model, params, inputs, jnp.ones_like(lengths), num_slots)


def _read_first(
    model: nn.Module,
    params: Mapping[str, Any],
    inputs: models.Inputs,
    lengths: Int[Array, " B"],
    num_slots: int,
) -> tuple[Float[Array, "B P D"], CachedRows]:
    """Reads rows into an empty cache."""
    tokens, num_rows = inputs.tokens, inputs.num_rows
    positions = prompt_positions(model.config, tokens)
    output = model.apply(
        {"params": params},
        inputs._replace(positions=positions),
        cache=models.empty_cache(writer_config(model), num_rows, num_slots),
    )
    is_real = jnp.arange(num_slots, dtype=jnp.int32)[None] < lengths[:, None]
    cache = output.cache._replace(positions=jnp.where(is_real, output.cache.positions, models.EMPTY_SLOT))
    rows, last = jnp.arange(num_rows, dtype=jnp.int32), jnp.maximum(lengths - 1, 0)
    following = next_positions(model.config, positions[rows, last], tokens[rows, last])
    return output.hidden, CachedRows(cache, lengths, following)


def read_token(
    model: nn.Module,
    params: Mapping[str, Any],
    reading: CachedRows,
    tokens: Int[Array, " B"],
    active: Bool[Array, " B"],
    *,
    vectors: Float[Array, "B 1 D"] | None = None,
) -> tuple[Float[Array, "B V"], CachedRows]:
    """Returns the float32 logits after one more token of each row, and the rows with it.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: its parameters.
      reading: the rows so far.
      tokens: `Int[B]`.
      active: `Bool[B]`, False = the row stays as it was, and its logits mean nothing.
      vectors: `Float[B 1 D]` the tokens' embeddings, where the caller has looked them up.
    """
    num_slots = reading.cache.num_slots
    granted = jnp.arange(num_slots, dtype=jnp.int32)[None] <= reading.offsets[:, None]
    inputs = models.Inputs(
        tokens=tokens[:, None] if vectors is None else None,
        embeddings=vectors,
        positions=reading.positions[:, None],
        attention_mask=granted[:, None, None],
    )
    output = model.apply(
        {"params": params},
        inputs,
        cache=reading.cache,
        slots=jnp.where(active, reading.offsets, num_slots)[:, None],
    )
    logits = model.apply({"params": params}, output.hidden[:, 0], method="logits")
    following = next_positions(model.config, reading.positions, tokens)
    stays = active.reshape(-1, *(1,) * (following.ndim - 1))
    return logits, CachedRows(
        output.cache,
        reading.offsets + active.astype(jnp.int32),
        jnp.where(stays, following, reading.positions),
    )


def prompt_positions(
    config: models.TransformerConfig, tokens: Int[Array, "B P"]
) -> Int[Array, "B P"] | Int[Array, "B P 2"]:
    """Returns what the model is told of where each token of a prompt stands.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding._cached_rows import prompt_positions
      >>> prompt_positions(models.TransformerConfig(causal=True), jnp.array([[7, 8, 9]])).tolist()
      [[0, 1, 2]]
    """
    if isinstance(config.position, models.Instruction):
        return ops.instruction_positions(tokens, None, config.position.next_id)
    return jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)


def next_positions(
    config: models.TransformerConfig,
    positions: Int[Array, " B"] | Int[Array, "B 2"],
    tokens: Int[Array, " B"],
) -> Int[Array, " B"] | Int[Array, "B 2"]:
    """Returns where the token after each of these stands.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding._cached_rows import next_positions
      >>> config = models.TransformerConfig(vocab_size=9, position=models.Instruction(next_id=5))
      >>> next_positions(config, jnp.array([[3, 1], [3, 1]]), jnp.array([7, 5])).tolist()
      [[3, 2], [4, 0]]
    """
    if not isinstance(config.position, models.Instruction):
        return positions + 1
    ends = tokens == config.position.next_id
    instruction, argument = positions[:, 0], positions[:, 1]
    following = [instruction + ends.astype(jnp.int32), jnp.where(ends, 0, argument + 1)]
    return jnp.stack(following, axis=-1).astype(positions.dtype)
