"""What attention keeps of the tokens it has read: keys and values in slots of a static number.

A slot is a place in memory and says nothing about order: who may read it is the caller's mask, and how far
it is from a query are the positions kept beside it. So a row may hold one text, several, or a tree of them.

Letters: `B` rows, `L` new tokens, `S` slots, `K` key/value heads, `H` head width, `R` layers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxlm.devices import current_target
from jaxlm.models._config import TransformerConfig
from jaxlm.typing import Array, Bool, Float, Int

EMPTY_SLOT = -1


class LayerCache(NamedTuple):
    """The keys, turned by their positions where those are rotary, and the values of one layer.

    Attributes:
      key: `Float[B K S H]`, heads before slots as attention multiplies them.
      value: `Float[B K S H]`.
    """

    key: Float[Array, "B K S H"]
    value: Float[Array, "B K S H"]


class Memory(NamedTuple):
    """What a decoder keeps of the text that an encoder read: made once, read at every token.

    Attributes:
      layers: the keys and values of each block's cross-attention, as in `Cache`.
      segments: `Int[B S]` of the encoder's positions, 0 = padding, which is not read.
    """

    layers: tuple[LayerCache, ...] | LayerCache
    segments: Int[Array, "B S"]


class Cache(NamedTuple):
    """The keys and values of all layers, and where the tokens in the slots stand.

    Attributes:
      layers: one `LayerCache` a block; of `scan_layers`, one whose arrays have a leading axis R.
      positions: `Int[B S]` position of the token in each slot, -1 where the slot is empty.
      memory: of a decoder with cross-attention, from the first call on; else None.
    """

    layers: tuple[LayerCache, ...] | LayerCache
    positions: Int[Array, "B S"]
    memory: Memory | None = None

    @property
    def num_slots(self) -> int:
        """S, how many tokens a row holds."""
        return self.positions.shape[1]


def empty_cache(
    config: TransformerConfig, num_rows: int, num_slots: int, dtype: DTypeLike | None = None
) -> Cache:
    """Returns a cache without tokens.

    Args:
      config: of the model that will write to it.
      num_rows: B.
      num_slots: S.
      dtype: what keys and values are kept in; None: what the model computes in, and on CPU float32: there XLA
        would widen all of a bfloat16 cache to write one token of it.

    Example:
      >>> from jaxlm.models import TransformerConfig, empty_cache
      >>> config = TransformerConfig(width=8, depth=2, num_heads=2)
      >>> cache = empty_cache(config, num_rows=3, num_slots=5)
      >>> len(cache.layers), cache.layers[0].key.shape, cache.positions[0].tolist()
      (2, (3, 2, 5, 4), [-1, -1, -1, -1, -1])
    """
    config = config.resolved()
    shape = (num_rows, config.num_kv_heads, num_slots, config.head_width)
    if dtype is None:
        dtype = jnp.float32 if current_target().platform == "cpu" else config.dtype

    def layer(*leading: int) -> LayerCache:
        return LayerCache(*(jnp.zeros((*leading, *shape), jnp.dtype(dtype)) for _ in range(2)))

    layers = layer(config.depth) if config.scan_layers else tuple(layer() for _ in range(config.depth))
    return Cache(layers, jnp.full((num_rows, num_slots), EMPTY_SLOT, jnp.int32))


def write_layer(
    layer: LayerCache,
    key: Float[Array, "B L K H"],
    value: Float[Array, "B L K H"],
    slots: Int[Array, "B L"] | None,
) -> LayerCache:
    """Returns the layer with new keys and values in the given slots; a slot from S on is not written.

    None stands for the first L slots of a layer that is empty: they are laid out, none is looked up.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import LayerCache
      >>> from jaxlm.models._cache import write_layer
      >>> layer = LayerCache(jnp.zeros((1, 1, 3, 1)), jnp.zeros((1, 1, 3, 1)))
      >>> news = jnp.array([7.0, 8.0]).reshape(1, 2, 1, 1)
      >>> write_layer(layer, news, news, jnp.array([[2, 3]])).key.ravel().tolist()
      [0.0, 0.0, 7.0]
    """

    def write(kept: Array, news: Array) -> Array:
        if slots is None:
            filler = ((0, 0), (0, 0), (0, kept.shape[2] - news.shape[1]), (0, 0))
            return jnp.pad(news.swapaxes(1, 2).astype(kept.dtype), filler)
        rows = jnp.arange(slots.shape[0], dtype=slots.dtype)[:, None]
        return kept.at[rows, :, slots].set(news.astype(kept.dtype), mode="drop")

    return LayerCache(write(layer.key, key), write(layer.value, value))


def write_positions(
    cache: Cache, positions: Int[Array, "B L"] | Int[Array, "B L 2"], slots: Int[Array, "B L"] | None
) -> Int[Array, "B S"]:
    """Returns the positions of all slots after the new tokens are in theirs; of "instruction" pairs, 0."""
    offsets = positions if positions.ndim == 2 else jnp.zeros_like(positions[..., 0])
    if slots is None:
        slots = jnp.broadcast_to(jnp.arange(offsets.shape[1], dtype=jnp.int32), offsets.shape)
    rows = jnp.arange(slots.shape[0], dtype=slots.dtype)[:, None]
    return cache.positions.at[rows, slots].set(offsets.astype(jnp.int32), mode="drop")


def slot_mask(
    attention_mask: Bool[Array, " B #N L S"],
    positions: Int[Array, "B L"] | Int[Array, "B L 2"],
    slot_positions: Int[Array, "B S"],
    window: int | None,
) -> Bool[Array, " B #N L S"]:
    """Returns the caller's mask without empty slots and, with a window, without those too far away.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models._cache import slot_mask
      >>> everything = jnp.ones((1, 1, 1, 4), bool)
      >>> slot_mask(everything, jnp.array([[2]]), jnp.array([[0, 1, 2, -1]]), window=2).ravel().tolist()
      [False, True, True, False]
    """
    mask = attention_mask & (slot_positions != EMPTY_SLOT)[:, None, None]
    if window is None:
        return mask
    distance = positions[:, :, None] - slot_positions[:, None]
    return mask & (jnp.abs(distance) < window)[:, None]


def with_memory(
    cache: Cache,
    layers: tuple[LayerCache | None, ...] | LayerCache | None,
    memory: Float[Array, "B S D"] | None,
    segments: Int[Array, "B S"] | None,
) -> Cache:
    """Returns a cache with what its blocks made of a memory, in the dtype of its own keys and values.

    Args:
      cache: of a decoder; without a memory it is returned as it is.
      layers: keys and values of each block.
      memory: what they were made of, where this call was given one.
      segments: its segments; None: each row is one without padding.
    """
    if memory is None:
        return cache
    dtype = jax.tree.leaves(cache.layers)[0].dtype
    rows = jnp.ones(memory.shape[:2], jnp.int32) if segments is None else segments
    return cache._replace(memory=Memory(jax.tree.map(lambda leaf: leaf.astype(dtype), layers), rows))
