"""The cache of attention: keys and values of the tokens read so far, in a static number of slots.

The order of slots means nothing: the caller's mask says which slots a query may attend to, and the cached
positions give distances. So a row of slots may hold one text, several texts, or a tree of them.

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
    """The keys (rotated if positions are rotary) and the values of one layer, in S slots for tokens.

    Attributes:
      key: `Float[B K S H]` keys: heads come before slots, the layout in which attention multiplies them.
      value: `Float[B K S H]` values, in the same layout.
    """

    key: Float[Array, "B K S H"]
    value: Float[Array, "B K S H"]


class Memory(NamedTuple):
    """A decoder's keys and values of the encoder's output, computed once and read for each new token.

    Attributes:
      layers: the keys and values of each block's cross-attention: a `LayerCache` for each block, or with
        `scan_layers` one `LayerCache` whose arrays have a leading axis R over the blocks.
      segments: `Int[B S]`, the number of the segment (text) that each position of the encoder belongs to; 0 =
        padding, which nothing attends to.
    """

    layers: tuple[LayerCache, ...] | LayerCache
    segments: Int[Array, "B S"]


class Cache(NamedTuple):
    """The keys and values of all layers, and the position of the token in each of S slots.

    Attributes:
      layers: a `LayerCache` for each block; with `scan_layers`, one `LayerCache` whose arrays have a leading
        axis R over the blocks.
      positions: `Int[B S]`, the index in its text of the token in each slot; -1 where the slot is empty.
      memory: keys and values of the encoder's output, for a decoder with cross-attention after its first
        call. None: the model has no cross-attention, or was not called yet.
    """

    layers: tuple[LayerCache, ...] | LayerCache
    positions: Int[Array, "B S"]
    memory: Memory | None = None

    @property
    def num_slots(self) -> int:
        """S, the number of tokens that the cache can hold in each row."""
        return self.positions.shape[1]


def empty_cache(
    config: TransformerConfig, num_rows: int, num_slots: int, dtype: DTypeLike | None = None
) -> Cache:
    """Returns a cache without tokens, for incremental decoding.

    Args:
      config: the config of the model that will write to the cache.
      num_rows: B, the number of rows.
      num_slots: S, the number of tokens that each row can hold.
      dtype: dtype of keys and values. None: the model's compute dtype; on a CPU float32, because XLA would
        cast a whole bfloat16 cache there to write one token.

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
    """Returns the layer's cache with new keys and values in the given slots; slots of S or more are dropped.

    Args:
      layer: the cache of one layer.
      key: of the new tokens.
      value: of the new tokens.
      slots: of each new token; None: the first L slots of an empty cache, written without a scatter.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.models import LayerCache
      >>> from jaxlm.models._cache import write_layer
      >>> layer = LayerCache(jnp.zeros((1, 1, 3, 1)), jnp.zeros((1, 1, 3, 1)))
      >>> news = jnp.array([7.0, 8.0]).reshape(1, 2, 1, 1)
      >>> write_layer(layer, news, news, jnp.array([[2, 3]])).key.ravel().tolist()
      [0.0, 0.0, 7.0]
    """

    def write(cached: Array, new: Array) -> Array:
        if slots is None:
            filler = ((0, 0), (0, 0), (0, cached.shape[2] - new.shape[1]), (0, 0))
            return jnp.pad(new.swapaxes(1, 2).astype(cached.dtype), filler)
        rows = jnp.arange(slots.shape[0], dtype=slots.dtype)[:, None]
        return cached.at[rows, :, slots].set(new.astype(cached.dtype), mode="drop")

    return LayerCache(write(layer.key, key), write(layer.value, value))


def write_positions(
    cache: Cache, positions: Int[Array, "B L"] | Int[Array, "B L 2"], slots: Int[Array, "B L"] | None
) -> Int[Array, "B S"]:
    """Returns the positions of all slots, those of new tokens written; instruction positions become 0.

    Args:
      cache: before the new tokens.
      positions: of the new tokens.
      slots: of the new tokens; None: the first L slots.
    """
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
    """Returns the caller's mask, with empty slots and slots outside the window masked too.

    Args:
      attention_mask: True = may attend, over the slots.
      positions: of the queries.
      slot_positions: of the cached tokens; -1 = empty.
      window: see `TransformerConfig.window`; None: no window.

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
    """Returns a cache with the blocks' keys and values of a memory, in the cache's dtype.

    Args:
      cache: of a decoder.
      layers: keys and values of each block.
      memory: the encoder's output, if this call was given one; None: the cache is returned unchanged.
      segments: of the memory; None: each row is one segment without padding.
    """
    if memory is None:
        return cache
    dtype = jax.tree.leaves(cache.layers)[0].dtype
    rows = jnp.ones(memory.shape[:2], jnp.int32) if segments is None else segments
    return cache._replace(memory=Memory(jax.tree.map(lambda leaf: leaf.astype(dtype), layers), rows))
