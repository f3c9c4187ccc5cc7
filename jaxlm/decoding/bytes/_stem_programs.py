"""What devices compute of trees of stems: the nodes that the model reads, and the masses behind them.

Letters: `B` trees, `M` nodes of a tile, `W` bytes of a piece, `K` children of a node, `V` vocabulary, `E` ids
that end a text.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxlm.decoding import TreeCache, empty_tree, extend_tree, tree_log_probs
from jaxlm.decoding.bytes._trie import (
    TRIE_ROOT,
    ByteTrie,
    mass_pyramid,
    next_byte_log_masses,
    node_log_masses,
)
from jaxlm.devices import AXIS, Layout
from jaxlm.typing import Array, Bool, Float, Int


class StemPrograms(NamedTuple):
    """What devices compute, each of them its part of the arrays, whose first axis is that of devices.

    Attributes:
      empty: of rows and slots of a device, caches without nodes.
      extend: of parameters and the other arguments of `extend_tree`, the caches with their nodes.
      masses: of parameters, trie and the other arguments of `tile_masses`, what that returns.
    """

    empty: Callable[..., TreeCache]
    extend: Callable[..., TreeCache]
    masses: Callable[..., tuple[Array, ...]]


@functools.lru_cache(maxsize=8)
def stem_programs(model: nn.Module, layout: Layout, *, next_bytes: bool) -> StemPrograms:
    """Returns the programs of a model on some devices; those of the same are made once.

    Args:
      model: a causal LM.
      layout: the devices.
      next_bytes: whether the masses of all next bytes are computed.
    """
    by_device = jax.sharding.NamedSharding(layout.mesh, jax.sharding.PartitionSpec(AXIS))

    @functools.partial(jax.jit, static_argnums=(0, 1), out_shardings=by_device)
    def empty(num_rows: int, num_slots: int) -> TreeCache:
        tree = empty_tree(model, num_rows, num_slots)
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(layout.devices), *leaf.shape)), tree)

    return StemPrograms(
        empty,
        layout.parallel(functools.partial(extend_tree, model), (False, *[True] * 4), donate=(1,)),
        layout.parallel(
            functools.partial(tile_masses, model, next_bytes=next_bytes),
            (False, False, *[True] * 4, False, True),
        ),
    )


@functools.partial(jax.jit, static_argnames=("model", "next_bytes"))
def tile_masses(
    model: nn.Module,
    params: Any,
    trie: ByteTrie,
    tree: TreeCache,
    nodes: Int[Array, "B M"],
    piece_nodes: Int[Array, "B M W"],
    child_ids: Int[Array, "B M K"],
    eos: Int[Array, " E"],
    allowed: Bool[Array, "B M V"] | None,
    *,
    next_bytes: bool,
) -> tuple[Array, ...]:
    """Returns the arrays of `StemMasses` for some nodes.

    Args:
      model: a causal LM.
      params: its parameters.
      trie: of its vocabulary's bytes.
      tree: what it has read.
      nodes: slots of `tree`.
      piece_nodes: of the trie; -1: none.
      child_ids: ids, -1 for none, whose log-probs are meaningless.
      eos: the ids that end a text.
      allowed: ids that count behind each node; None: all.
      next_bytes: whether the last array is among them.
    """
    log_probs = tree_log_probs(model, params, tree, nodes)
    children = jnp.take_along_axis(log_probs, jnp.maximum(child_ids, 0), axis=-1)
    ends = end_log_masses(log_probs, eos)
    counted = log_probs if allowed is None else jnp.where(allowed, log_probs, -jnp.inf)
    pyramid = mass_pyramid(trie, counted)
    masses = node_log_masses(trie, pyramid, piece_nodes), children, ends
    if not next_bytes:
        return masses
    behind = jnp.pad(piece_nodes, ((0, 0), (0, 0), (1, 0)), constant_values=TRIE_ROOT)
    return *masses, next_byte_log_masses(trie, pyramid, behind)


def end_log_masses(log_probs: Float[Array, "*A V"], eos: Int[Array, " E"]) -> Float[Array, "*A"]:
    """Returns the log-prob that one of the ids comes next that end a text; -inf if there are none."""
    if not eos.shape[0]:
        return jnp.full(log_probs.shape[:-1], -jnp.inf, jnp.float32)
    return jax.nn.logsumexp(log_probs[..., eos], axis=-1)
