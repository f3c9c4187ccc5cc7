"""A cache in which texts form a tree, on the device: a prefix that texts share is computed and stored once.

A node is a token after its ancestors. The slot of the cache that holds a node's keys and values is its name.
A tree also stores for every node the slots of its path from the root (one bit a slot), its token, its depth
and its last hidden vector, from which the head makes log-probs: D numbers a node instead of V. All functions
are pure and of static shapes, and can be called inside other compiled functions.

Letters: `B` rows, each with a tree of its own; `S` slots, `L` new nodes of a row, `M` nodes asked for, `P`
positions of a prompt, `D` width, `V` vocabulary, `octets` bytes that hold S bits.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxlm import models
from jaxlm.decoding._cached_rows import (
    context_width,
    first_token,
    has_encoder,
    instruction_end_id,
    read_hidden,
    writer_config,
    written_cache,
)
from jaxlm.typing import Array, Bool, Float, Int, UInt8

ROOT = -1


class TreeCache(NamedTuple):
    """The key/value cache of B trees of tokens, one tree in each row.

    A node is a token that the model has read after its ancestors; the path to a node is a text. A slot is one
    of the S places of a row that can hold a node. A slot without a node has depth -1, and its other entries
    are meaningless.

    Attributes:
      cache: the keys and values of the nodes, S slots in each row; for an encoder-decoder also the keys and
        values of the encoder's output.
      ancestors: `UInt8[B S octets]`. For each node, one bit for each of the S slots, eight bits in an octet,
        highest bit first: 1 for the slots of its ancestors and for its own slot.
      tokens: `Int[B S]`. The id of each node.
      depths: `Int[B S]`. How many ancestors each node has: 0 for a first token; -1 for a slot without a node.
      hidden: `Float[B S D]`. The hidden vector after each node, from which the head makes the next token's
        logits.
    """

    cache: models.Cache
    ancestors: UInt8[Array, "B S octets"]
    tokens: Int[Array, "B S"]
    depths: Int[Array, "B S"]
    hidden: Float[Array, "B S D"]

    @property
    def num_slots(self) -> int:
        """S, the largest number of nodes that a row can hold."""
        return self.tokens.shape[1]


class CompactTree(NamedTuple):
    """Trees whose nodes were moved to the first slots of each row, and where each node went.

    Attributes:
      tree: the trees of the nodes that were kept.
      slots: `Int[B S]`. For each old slot the new slot of its node; -1 if the node was removed or there was
        none.
    """

    tree: TreeCache
    slots: Int[Array, "B S"]


def empty_tree(model: nn.Module, num_rows: int, num_slots: int) -> TreeCache:
    """Returns a cache of trees that have no nodes yet.

    A slot holds one node, that is, one token that the model has read. Besides the node's keys and values it
    takes S/8 bytes and the memory of one hidden vector.

    Args:
      model: a causal LM.
      num_rows: B, the number of trees, one in each row.
      num_slots: S, the largest number of nodes in each tree.

    Example:
      >>> from jaxlm import models
      >>> from jaxlm.decoding import empty_tree
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> tree = empty_tree(models.build(config, "causal_lm"), num_rows=2, num_slots=12)
      >>> tree.num_slots, tree.ancestors.shape, tree.depths[0, 0].item()
      (12, (2, 12, 2), -1)
    """
    config = writer_config(model)
    return _tree_around(models.empty_cache(config, num_rows, num_slots), config.width)


@functools.partial(jax.jit, static_argnames=("model", "num_slots"))
def tree_of_prompts(
    model: nn.Module,
    params: Mapping[str, Any],
    tokens: Int[Array, "B P"],
    lengths: Int[Array, " B"],
    *,
    num_slots: int,
) -> TreeCache:
    """Returns one tree for each prompt, which holds the prompt alone: the prompt's token i is in slot i.

    The model reads the prompts as plain rows, so that attention needs no mask of ancestors. For an
    encoder-decoder the encoder reads the prompt, and the tree holds the decoder's first token alone.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: the model's parameters.
      tokens: `Int[B P]`, the ids of the prompts, padded on the right.
      lengths: `Int[B]`, how many tokens of each row are real.
      num_slots: S, the number of nodes that each tree can hold, more than the longest prompt has.
    """
    config = writer_config(model)
    hidden, cached = read_hidden(model, params, tokens, lengths, num_slots)
    if has_encoder(model):
        tokens = jnp.full((tokens.shape[0], 1), first_token(model), jnp.int32)
    width = context_width(model, tokens.shape[1])
    tree = _tree_around(cached.cache, config.width)
    slots = jnp.arange(num_slots, dtype=jnp.int32)
    is_used = slots[None] < cached.offsets[:, None]
    # The node in slot i has its first i + 1 bits set; `counts` says how many of them are in each byte.
    octets = jnp.arange(tree.ancestors.shape[2], dtype=jnp.int32)[None]
    counts = jnp.clip(slots[:, None] + 1 - 8 * octets, 0, 8)
    stems = (0xFF00 >> counts & 0xFF).astype(jnp.uint8)
    return tree._replace(
        ancestors=jnp.where(is_used[:, :, None], stems[None], np.uint8(0)),
        tokens=tree.tokens.at[:, :width].set(tokens),
        depths=jnp.where(is_used, slots[None], ROOT),
        hidden=tree.hidden.at[:, :width].set(hidden.astype(tree.hidden.dtype)),
    )


@functools.partial(jax.jit, static_argnames=("model", "generations"), donate_argnames="tree")
def extend_tree(
    model: nn.Module,
    params: Mapping[str, Any],
    tree: TreeCache,
    parents: Int[Array, "B L"],
    tokens: Int[Array, "B L"],
    slots: Int[Array, "B L"],
    *,
    generations: int | None = None,
) -> TreeCache:
    """Reads L new tokens in each row, each after its parent, and returns the trees with their nodes.

    A slot is a place of a row that holds one node. A new node replaces the node that was in its slot; no node
    that remains may descend from the replaced one.

    Args:
      model: a causal LM, or an encoder-decoder.
      params: the model's parameters.
      tree: the trees so far. The arrays are donated: use only the returned trees afterwards.
      parents: `Int[B L]`, the slot of each new node's parent; -1 for a first token. A parent may be one of
        the new nodes.
      tokens: `Int[B L]`, the id of each new node.
      slots: `Int[B L]`, the slot in which each new node is stored, such as `free_slots` returns; a node with
        the slot S is not stored.
      generations: the largest number of new nodes on one path: 1 if every parent is already in the tree;
        None: L, the largest possible number.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import ancestor_mask, empty_tree, extend_tree, tree_log_probs
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> tree = empty_tree(model, num_rows=1, num_slots=5)
      >>> new = [jnp.array([row]) for row in ([-1, 0, 0], [4, 5, 6], [0, 1, 2])]
      >>> tree = extend_tree(model, params, tree, *new)  # 4 5 and 4 6
      >>> ancestor_mask(tree, jnp.array([[1, 2]])).astype(int).tolist()
      [[[1, 1, 0, 0, 0], [1, 0, 1, 0, 0]]]
      >>> tree_log_probs(model, params, tree, jnp.array([[1, 2]])).shape
      (1, 2, 7)
    """
    bits = _paths(tree, parents, slots, tokens.shape[1] if generations is None else generations)
    # Without the barrier XLA would unpack the bits again in the attention of every layer and head.
    mask = jax.lax.optimization_barrier(_unpacked(bits, tree.num_slots))
    depths = mask.sum(-1, dtype=jnp.int32) - 1
    tree = tree._replace(
        ancestors=_with_nodes(tree.ancestors, slots, bits),
        tokens=_with_nodes(tree.tokens, slots, tokens),
        depths=_with_nodes(tree.depths, slots, depths),
    )
    positions = _positions(writer_config(model), tree, mask, depths)
    inputs = models.Inputs(tokens=tokens, positions=positions, attention_mask=mask[:, None])
    output = models.apply_model(model, params, inputs, cache=tree.cache, slots=slots)
    return tree._replace(cache=written_cache(output), hidden=_with_nodes(tree.hidden, slots, output.hidden))


@functools.partial(jax.jit, static_argnames="model")
def tree_log_probs(
    model: nn.Module, params: Mapping[str, Any], tree: TreeCache, nodes: Int[Array, "B M"]
) -> Float[Array, "B M V"]:
    """Returns the log-probs of the token after each node, in nats: `Float32[B M V]`, on the device.

    Args:
      model: the model that read the tree.
      params: the model's parameters.
      tree: the trees, as `extend_tree` returns them.
      nodes: `Int[B M]`, the slots of the nodes that are asked about. The log-probs of a slot without a node
        are meaningless.
    """
    hidden = _of_nodes(tree.hidden, nodes).astype(writer_config(model).dtype)
    logits = models.apply_head(model, params, hidden)
    return jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)


@functools.partial(jax.jit, donate_argnames="tree")
def compact_tree(tree: TreeCache, keep: Bool[Array, "B S"]) -> CompactTree:
    """Returns the trees with the kept nodes moved to the first slots, in their order, and where each went.

    A slot is a place of a row that holds one node. The cached keys need no change, because the position of a
    node is its depth and not its slot.

    Args:
      tree: the trees. The arrays are donated: use only the returned trees afterwards.
      keep: `Bool[B S]`, True = the node in this slot is kept, and its ancestors are kept, too.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import compact_tree, empty_tree, extend_tree
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> model = models.build(config, "causal_lm")
      >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))["params"]
      >>> new = [jnp.array([row]) for row in ([-1, 0, 0], [4, 5, 6], [0, 1, 3])]
      >>> tree = extend_tree(model, params, empty_tree(model, 1, 5), *new)
      >>> tree, slots = compact_tree(tree, jnp.array([[False, False, False, True, False]]))
      >>> slots.tolist(), tree.tokens[0, :2].tolist(), tree.depths.tolist()
      ([[0, -1, -1, 1, -1]], [4, 6], [[0, 1, -1, -1, -1]])
    """
    is_named = keep & (tree.depths >= 0)
    bits = jnp.where(is_named[:, :, None], tree.ancestors, np.uint8(0))
    is_kept = _unpacked(jax.lax.reduce_or(bits, (1,)), tree.num_slots)
    order = jnp.argsort(~is_kept, axis=1, stable=True).astype(jnp.int32)
    stays = jnp.arange(tree.num_slots, dtype=jnp.int32)[None] < is_kept.sum(1, dtype=jnp.int32)[:, None]

    def moved(array: Array) -> Array:  # keys and values `[B K S H]`, of a scan `[R B K S H]`
        index = order[:, None, :, None]
        return jnp.take_along_axis(array, index if array.ndim == 4 else index[None], axis=-2)

    cache = tree.cache._replace(
        layers=jax.tree.map(moved, tree.cache.layers),
        positions=jnp.where(stays, _of_nodes(tree.cache.positions, order), models.EMPTY_SLOT),
    )
    slots = jnp.where(is_kept, jnp.cumsum(is_kept, axis=1, dtype=jnp.int32) - 1, ROOT)
    compact = TreeCache(
        cache,
        jnp.where(
            stays[:, :, None], _reordered_bits(_of_nodes(tree.ancestors, order), order, stays), np.uint8(0)
        ),
        _of_nodes(tree.tokens, order),
        jnp.where(stays, _of_nodes(tree.depths, order), ROOT),
        _of_nodes(tree.hidden, order),
    )
    return CompactTree(compact, slots)


def free_slots(tree: TreeCache, count: int) -> Int[Array, "B count"]:
    """Returns the first `count` slots of each row that hold no node: `Int[B count]`.

    A slot is one of the S places of a row that can hold a node. If a row has fewer free slots than `count`,
    the remaining entries are S.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm import models
      >>> from jaxlm.decoding import empty_tree, free_slots
      >>> config = models.TransformerConfig(vocab_size=7, width=8, depth=1, num_heads=2, causal=True)
      >>> tree = empty_tree(models.build(config, "causal_lm"), num_rows=1, num_slots=4)
      >>> free_slots(tree._replace(depths=jnp.array([[0, -1, 1, -1]])), 3).tolist()
      [[1, 3, 4]]
    """
    is_used = tree.depths >= 0
    order = jnp.argsort(is_used, axis=1, stable=True).astype(jnp.int32)[:, :count]
    return jnp.where(_of_nodes(is_used, order), tree.num_slots, order)


def ancestor_mask(tree: TreeCache, nodes: Int[Array, "B M"]) -> Bool[Array, "B M S"]:
    """Returns which of the S slots hold each node and its ancestors: `Bool[B M S]`.

    `nodes` holds the slots of M nodes in each row; an entry of -1 has a mask that is False everywhere.
    """
    bits = jnp.where((nodes >= 0)[:, :, None], _of_nodes(tree.ancestors, nodes), np.uint8(0))
    return _unpacked(bits, tree.num_slots)


def _tree_around(cache: models.Cache, width: int) -> TreeCache:
    """Trees without nodes, whose keys and values will be in `cache`."""
    shape = cache.positions.shape
    # The dtype of keys and values also holds hidden vectors: it is the compute dtype, or a wider one.
    dtype = jax.tree.leaves(cache.layers)[0].dtype
    return TreeCache(
        cache,
        jnp.zeros((*shape, -(-shape[1] // 8)), jnp.uint8),
        jnp.zeros(shape, jnp.int32),
        jnp.full(shape, ROOT, jnp.int32),
        jnp.zeros((*shape, width), dtype),
    )


def _paths(tree: TreeCache, parents: Array, slots: Array, generations: int) -> UInt8[Array, "B L octets"]:
    """The path bits of new nodes: those of their parents and their own.

    Parents that are new themselves are followed by doubling: after k turns a node has the bits of 2^k
    generations of them. `link` is the column of a node's parent if that is new, else -1.
    """
    link = jnp.full(slots.shape, ROOT, jnp.int32)
    if generations > 1:
        columns = jnp.arange(slots.shape[1], dtype=jnp.int32)
        column_of = jnp.full(tree.tokens.shape, ROOT, jnp.int32)
        column_of = _with_nodes(column_of, slots, jnp.broadcast_to(columns[None], slots.shape))
        link = jnp.where(parents >= 0, _of_nodes(column_of, parents), ROOT)
    is_old = (parents >= 0) & (link == ROOT)
    bits = jnp.where(is_old[:, :, None], _of_nodes(tree.ancestors, parents), np.uint8(0))
    bits = bits | _own_bits(slots, tree.num_slots)
    for _ in range((generations - 1).bit_length()):
        bits = jnp.where((link >= 0)[:, :, None], bits | _of_nodes(bits, link), bits)
        link = jnp.where(link >= 0, _of_nodes(link, link), ROOT)
    return bits


def _own_bits(slots: Array, num_slots: int) -> UInt8[Array, "B L octets"]:
    """Bits of which one is set, that of the slot; none for slots from S on."""
    octets = jnp.arange(-(-num_slots // 8), dtype=jnp.int32)
    own = jnp.where(slots < num_slots, 0x80 >> slots % 8, 0).astype(jnp.uint8)
    return jnp.where(slots[:, :, None] // 8 == octets[None, None], own[:, :, None], np.uint8(0))


def _positions(
    config: models.TransformerConfig, tree: TreeCache, mask: Bool[Array, "B L S"], depths: Int[Array, "B L"]
) -> Int[Array, "B L"] | Int[Array, "B L 2"]:
    """The positions of nodes: their depths, or (instruction, argument) as the ancestors' end tokens say."""
    depths, end_id = jnp.maximum(depths, 0), instruction_end_id(config)
    if end_id is None:
        return depths
    is_above = mask & (tree.depths[:, None] < depths[:, :, None])
    is_end = is_above & (tree.tokens == end_id)[:, None]
    last = jnp.where(is_end, tree.depths[:, None], ROOT).max(-1)
    return jnp.stack([is_end.sum(-1, dtype=jnp.int32), depths - last - 1], axis=-1)


def _reordered_bits(
    bits: UInt8[Array, "B S octets"], order: Int[Array, "B S"], stays: Bool[Array, "B S"]
) -> UInt8[Array, "B S octets"]:
    """The bits of each row in the new order of slots, without those of removed nodes."""
    num_slots = order.shape[1]
    filler = ((0, 0), (0, -num_slots % 8))
    order, stays = jnp.pad(order, filler), jnp.pad(stays, filler)
    octets = jnp.take_along_axis(bits, (order // 8)[:, None], axis=2)
    ones = jnp.where(stays[:, None], octets >> (7 - order % 8).astype(jnp.uint8)[:, None] & np.uint8(1), 0)
    weights = (0x80 >> np.arange(8)).astype(np.uint8)
    ones = ones.astype(jnp.uint8).reshape(*bits.shape, 8)
    return (ones * weights[None, None, None]).sum(-1, dtype=jnp.uint8)


def _unpacked(bits: UInt8[Array, "*batch octets"], num_slots: int) -> Bool[Array, "*batch S"]:
    return jnp.unpackbits(bits, axis=-1, count=num_slots).astype(bool)


def _of_nodes(array: Array, nodes: Int[Array, "B L"]) -> Array:
    """The entries `[B L ...]` of `[B S ...]` at these slots; for -1 that of slot 0."""
    index = jnp.maximum(nodes, 0).reshape(*nodes.shape, *(1,) * (array.ndim - 2))
    return jnp.take_along_axis(array, index, axis=1, mode="clip")


def _with_nodes(array: Array, slots: Int[Array, "B L"], news: Array) -> Array:
    rows = jnp.arange(slots.shape[0], dtype=slots.dtype)[:, None]
    return array.at[rows, slots].set(news.astype(array.dtype), mode="drop")
