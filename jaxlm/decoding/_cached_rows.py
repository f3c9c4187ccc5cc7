"""Two steps of decoding with a cache: reading prompts, and reading one more token of every row.

A causal model continues its prompt. The encoder of an encoder-decoder reads the prompt once, and its decoder
writes a new text that begins with a token of its own. After that both are handled alike. The token at offset
i of a row is in slot i of its cache, so a token may attend to the slots up to its own offset. Letters: `B`
rows, `P` positions of a prompt, `L` positions that the head may read, `S` slots, `D` width, `V` vocabulary.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from jaxlm import models, ops
from jaxlm.errors import ConfigError
from jaxlm.typing import Array, Bool, Float, Int


class CachedRows(NamedTuple):
    """Rows of tokens that the model has read, and where the next token of each goes.

    Attributes:
      cache: keys and values, S slots a row.
      offsets: `Int[B]` how many tokens each row holds, which is also the slot of its next token.
      positions: `Int[B]`, with "instruction" positions `Int[B 2]`: the position of each row's next token.
    """

    cache: models.Cache
    offsets: Int[Array, " B"]
    positions: Int[Array, " B"] | Int[Array, "B 2"]


def has_encoder(model: nn.Module) -> bool:
    """Returns whether a model is an encoder-decoder, which writes a new text instead of continuing one."""
    return isinstance(model, models.Seq2SeqLM)


def writer_config(model: nn.Module) -> models.TransformerConfig:
    """Returns the config of the part that writes: an encoder-decoder's decoder, else the whole model."""
    return models.decoder_config(model.config) if has_encoder(model) else model.config


def first_token(model: nn.Module) -> int:
    """Returns the id that an encoder-decoder's decoder reads first.

    Raises:
      ConfigError: if the config has no `decoder.start_id`.
    """
    decoder = model.config.decoder
    if decoder is None or decoder.start_id is None:
        raise ConfigError("a decoder needs a first token: got decoder.start_id=None; set it in the config")
    return decoder.start_id


def context_width(model: nn.Module, width: int) -> int:
    """Returns how many slots of a row are taken before a model writes.

    Args:
      model: a causal LM, or an encoder-decoder.
      width: positions of the padded prompts. They take that many slots of a causal LM; an encoder-decoder's
        decoder has read its first token only.
    """
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
      lengths: `Int[B]` how many tokens of a row are real; padding is not cached. The logits of a row of
        length 0 are meaningless.
      num_slots: S, more than `context_width`; static.
    """
    hidden, cached = read_hidden(model, params, tokens, lengths, num_slots)
    rows = jnp.arange(tokens.shape[0], dtype=jnp.int32)
    last = hidden[rows, jnp.maximum(cached.offsets - 1, 0)]
    return models.apply_head(model, params, last), cached


def read_hidden(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    num_slots: int,
) -> tuple[Float[Array, "B L D"], CachedRows]:
    """Returns the hidden vectors after each token that was read, and the rows to go on from.

    Args:
      model: a causal LM, whose L vectors are those of the prompt; or an encoder-decoder, with L = 1, the
        vector of the decoder's first token.
      params: its parameters.
      tokens: `Int[B P]`, padded on the right.
      lengths: `Int[B]` how many tokens of a row are real.
      num_slots: S, more than `context_width`; static.
    """
    if not has_encoder(model):
        return _read_first(model, params, tokens, lengths, num_slots)
    segments = (jnp.arange(tokens.shape[1], dtype=jnp.int32)[None] < lengths[:, None]).astype(jnp.int32)
    source = models.Inputs(tokens=tokens, segments=segments)
    first = jnp.full((tokens.shape[0], 1), first_token(model), jnp.int32)
    return _read_first(model, params, first, jnp.ones_like(lengths), num_slots, source)


def _read_first(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B L"],
    lengths: Int[Array, " B"],
    num_slots: int,
    encoder: models.Inputs | None = None,
) -> tuple[Float[Array, "B L D"], CachedRows]:
    """Reads rows into an empty cache; `encoder` is what an encoder-decoder's encoder reads."""
    num_rows = tokens.shape[0]
    positions = prompt_positions(model.config, tokens)
    inputs = models.Inputs(tokens=tokens, positions=positions, encoder=encoder)
    empty = models.empty_cache(writer_config(model), num_rows, num_slots)
    output = models.apply_model(model, params, inputs, cache=empty)
    cache = written_cache(output)
    is_real = jnp.arange(num_slots, dtype=jnp.int32)[None] < lengths[:, None]
    cache = cache._replace(positions=jnp.where(is_real, cache.positions, models.EMPTY_SLOT))
    rows, last = jnp.arange(num_rows, dtype=jnp.int32), jnp.maximum(lengths - 1, 0)
    following = next_positions(model.config, positions[rows, last], tokens[rows, last])
    return output.hidden, CachedRows(cache, lengths, following)


def written_cache(output: models.Output) -> models.Cache:
    """Returns the cache of a call that was given one.

    Raises:
      AssertionError: if the call had no cache.
    """
    if output.cache is None:
        raise AssertionError("a model that is given a cache returns one: got None")
    return output.cache


def read_token(
    model: nn.Module,
    params: Mapping[str, Any],
    cached: CachedRows,
    tokens: Int[Array, " B"],
    active: Bool[Array, " B"],
    *,
    vectors: Float[Array, "B 1 D"] | None = None,
) -> tuple[Float[Array, "B V"], CachedRows]:
    """Returns the float32 logits after one more token of each row, and the rows with it.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: its parameters.
      cached: the rows so far.
      tokens: `Int[B]` the token to read in each row.
      active: `Bool[B]`, False = the row stays as it was, and its logits are meaningless.
      vectors: `Float[B 1 D]` embeddings of the tokens, if the caller has looked them up.
    """
    num_slots = cached.cache.num_slots
    visible = jnp.arange(num_slots, dtype=jnp.int32)[None] <= cached.offsets[:, None]
    inputs = models.Inputs(
        tokens=tokens[:, None] if vectors is None else None,
        embeddings=vectors,
        positions=cached.positions[:, None],
        attention_mask=visible[:, None, None],
    )
    slots = jnp.where(active, cached.offsets, num_slots)[:, None]
    output = models.apply_model(model, params, inputs, cache=cached.cache, slots=slots)
    logits = models.apply_head(model, params, output.hidden[:, 0])
    following = next_positions(model.config, cached.positions, tokens)
    moves = active.reshape(-1, *(1,) * (following.ndim - 1))
    return logits, CachedRows(
        written_cache(output),
        cached.offsets + active.astype(jnp.int32),
        jnp.where(moves, following, cached.positions),
    )


def instruction_end_id(config: models.TransformerConfig) -> int | None:
    """Returns the id of the token that ends an instruction; None for positions of any other kind.

    Raises:
      ConfigError: if the positions are of instructions and `position.next_id` is not known.
    """
    if not isinstance(config.position, models.Instruction):
        return None
    if config.position.next_id is None:
        raise ConfigError("instruction positions need position.next_id: got None; set it in the config")
    return config.position.next_id


def prompt_positions(
    config: models.TransformerConfig, tokens: Int[Array, "B P"]
) -> Int[Array, "B P"] | Int[Array, "B P 2"]:
    """Returns the position of each token of a prompt, as the model is given it.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding._cached_rows import prompt_positions
      >>> prompt_positions(models.TransformerConfig(causal=True), jnp.array([[7, 8, 9]])).tolist()
      [[0, 1, 2]]
    """
    end_id = instruction_end_id(config)
    if end_id is not None:
        return ops.instruction_positions(tokens, None, end_id)
    return jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)


def next_positions(
    config: models.TransformerConfig,
    positions: Int[Array, " B"] | Int[Array, "B 2"],
    tokens: Int[Array, " B"],
) -> Int[Array, " B"] | Int[Array, "B 2"]:
    """Returns the position of the token after each of these.

    Args:
      config: of the model.
      positions: `Int[B]`, with "instruction" positions `Int[B 2]`.
      tokens: `Int[B]` the tokens at these positions.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding._cached_rows import next_positions
      >>> config = models.TransformerConfig(vocab_size=9, position=models.Instruction(next_id=5))
      >>> next_positions(config, jnp.array([[3, 1], [3, 1]]), jnp.array([7, 5])).tolist()
      [[3, 2], [4, 0]]
    """
    end_id = instruction_end_id(config)
    if end_id is None:
        return positions + 1
    ends = tokens == end_id
    instruction, argument = positions[:, 0], positions[:, 1]
    following = [instruction + ends.astype(jnp.int32), jnp.where(ends, 0, argument + 1)]
    return jnp.stack(following, axis=-1).astype(positions.dtype)
