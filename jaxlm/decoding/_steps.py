"""What a causal model is asked while it writes: read a prompt, read one more token.

A row's tokens stand in the slots of its cache in order, the token at offset i in slot i, so that a slot may
be read from every offset from its own on. Letters: `B` rows, `P` prompt, `S` slots, `V` vocabulary.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from jaxlm import models, ops
from jaxlm.typing import Array, Bool, Float, Int


class Reading(NamedTuple):
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


def read_prompts(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    num_slots: int,
) -> tuple[Float[Array, "B V"], Reading]:
    """Returns the float32 logits after each prompt, and the rows to go on from.

    Args:
      model: a causal LM.
      params: its parameters.
      tokens: `Int[B P]`, padded on the right.
      lengths: `Int[B]` how many of a row are real; what follows is not kept. A row of length 0 gives logits
        that mean nothing.
      num_slots: S, at least P; static.
    """
    num_rows, width = tokens.shape
    places = jnp.arange(width, dtype=jnp.int32)
    slots = jnp.where(places[None] < lengths[:, None], places[None], num_slots)
    granted = jnp.arange(num_slots, dtype=jnp.int32)[None] <= places[:, None]
    positions = prompt_positions(model.config, tokens)
    output = model.apply(
        {"params": params},
        tokens,
        positions=positions,
        attention_mask=jnp.broadcast_to(granted, (num_rows, 1, width, num_slots)),
        cache=models.empty_cache(model.config, num_rows, num_slots),
        slots=slots,
    )
    last = jnp.maximum(lengths - 1, 0)
    rows = jnp.arange(num_rows, dtype=jnp.int32)
    hidden = output.hidden[rows, last]
    logits = model.apply({"params": params}, hidden, method="logits")
    following = next_positions(model.config, positions[rows, last], tokens[rows, last])
    return logits, Reading(output.cache, lengths, following)


def read_token(
    model: nn.Module,
    params: Mapping[str, Any],
    reading: Reading,
    tokens: Int[Array, " B"],
    active: Bool[Array, " B"],
    *,
    vectors: Float[Array, "B 1 D"] | None = None,
) -> tuple[Float[Array, "B V"], Reading]:
    """Returns the float32 logits after one more token of each row, and the rows with it.

    Args:
      model: a causal LM.
      params: its parameters.
      reading: the rows so far.
      tokens: `Int[B]`.
      active: `Bool[B]`, False = the row stays as it was, and its logits mean nothing.
      vectors: `Float[B 1 D]` the tokens' embeddings, where the caller has looked them up.
    """
    num_slots = reading.cache.num_slots
    granted = jnp.arange(num_slots, dtype=jnp.int32)[None] <= reading.offsets[:, None]
    output = model.apply(
        {"params": params},
        tokens[:, None] if vectors is None else None,
        embeddings=vectors,
        positions=reading.positions[:, None],
        attention_mask=granted[:, None, None],
        cache=reading.cache,
        slots=jnp.where(active, reading.offsets, num_slots)[:, None],
    )
    logits = model.apply({"params": params}, output.hidden[:, 0], method="logits")
    following = next_positions(model.config, reading.positions, tokens)
    stays = active.reshape(-1, *(1,) * (following.ndim - 1))
    return logits, Reading(
        output.cache,
        reading.offsets + active.astype(jnp.int32),
        jnp.where(stays, following, reading.positions),
    )


def prompt_positions(
    config: models.TransformerConfig, tokens: Int[Array, "B P"]
) -> Int[Array, "B P"] | Int[Array, "B P 2"]:
    """Returns what the model is told of where each token of a prompt stands.

    Example:
      >>> prompt_positions(models.TransformerConfig(causal=True), jnp.array([[7, 8, 9]])).tolist()
      [[0, 1, 2]]
    """
    if config.position == "instruction":
        return ops.instruction_positions(tokens, None, config.next_id)
    return jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)


def next_positions(
    config: models.TransformerConfig,
    positions: Int[Array, " B"] | Int[Array, "B 2"],
    tokens: Int[Array, " B"],
) -> Int[Array, " B"] | Int[Array, "B 2"]:
    """Returns where the token after each of these stands.

    Example:
      >>> config = models.TransformerConfig(vocab_size=9, position="instruction", next_id=5)
      >>> next_positions(config, jnp.array([[3, 1], [3, 1]]), jnp.array([7, 5])).tolist()
      [[3, 2], [4, 0]]
    """
    if config.position != "instruction":
        return positions + 1
    ends = tokens == config.next_id
    instruction, argument = positions[:, 0], positions[:, 1]
    following = [instruction + ends.astype(jnp.int32), jnp.where(ends, 0, argument + 1)]
    return jnp.stack(following, axis=-1).astype(positions.dtype)
