"""The bytes of a vocabulary as one trie of flat arrays, and the probability mass below each of its nodes.

The tokens are sorted by their bytes, so that those whose bytes begin with a node's are an interval. Masses
are sums of positive terms alone: differences of a cumulative sum would lose rare nodes altogether.

Letters: `V` vocabulary; `A` any leading axes; `P` the leaves of a pyramid, which are the sorted tokens padded
to a power of two. Other axes are named by words: `tokens`, those that have bytes; `nodes`, of which all but
the root have an edge, so that there are nodes - 1 edges; `blocks`, the 2P entries of a pyramid.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.errors import UsageError
from jaxlm.typing import AnyArray, Array, Float, Int, Integer, UInt8

_Where = Callable[..., Any]
TRIE_ROOT = 0
NO_NODE = -1

# A byte among 256 sorted ones is found in 8 halvings, and one more says whether it is there.
_HALVINGS = 9
# Stands for the largest log-prob where there is none; a difference of two is 0, not NaN.
_NO_MASS = np.float32(-1e30)


class ByteTrie(NamedTuple):
    """The trie of the bytes of a vocabulary. Its nodes are in pre-order, node 0 is the root.

    Attributes:
      token_ids: `Int[tokens]` the ids that have bytes, sorted by (bytes, id).
      leaf_of_token: `Int[V]` the index of each id in `token_ids`, -1 for an id without bytes.
      starts: `Int[nodes]` the first of the sorted tokens whose bytes begin with a node's.
      ends: `Int[nodes]` the end of their interval.
      num_exact: `Int[nodes]` how many tokens have exactly the node's bytes; they are first in its interval.
      edge_starts: `Int[nodes+1]` the edges to a node's children are those from `edge_starts[node]` up to
        `edge_starts[node + 1]`.
      edge_bytes: `UInt8[nodes-1]` the byte of each edge, sorted within a node.
      edge_children: `Int[nodes-1]` the node to which each edge leads.
      depths: `Int[nodes]` how many bytes a node has.
      parents: `Int[nodes]` the node of all bytes but the last, -1 for the root.

    Example:
      >>> from jaxlm.decoding.bytes import make_byte_trie
      >>> trie = make_byte_trie([b"b", b"ab", None, b"a"])  # nodes: the root, a, ab, b
      >>> trie.depths.tolist(), trie.parents.tolist(), trie.num_exact.tolist()
      ([0, 1, 2, 1], [-1, 0, 1, 0], [0, 1, 1, 1])
    """

    token_ids: Int[Array, " tokens"]
    leaf_of_token: Int[Array, " V"]
    starts: Int[Array, " nodes"]
    ends: Int[Array, " nodes"]
    num_exact: Int[Array, " nodes"]
    edge_starts: Int[Array, " nodes+1"]
    edge_bytes: UInt8[Array, " nodes-1"]
    edge_children: Int[Array, " nodes-1"]
    depths: Int[Array, " nodes"]
    parents: Int[Array, " nodes"]


def make_byte_trie(token_bytes: Sequence[bytes | None]) -> ByteTrie:
    """Returns the trie of a vocabulary.

    The time grows with the number of bytes in the vocabulary: about half a second for 100,000 tokens.

    Args:
      token_bytes: by id, its bytes; None or `b""` for an id that stands for no bytes and is left out.

    Raises:
      UsageError: no id has bytes.

    Example:
      >>> from jaxlm.decoding.bytes import make_byte_trie
      >>> trie = make_byte_trie([b"b", b"ab", None, b"a"])
      >>> trie.token_ids.tolist()  # a, ab, b
      [3, 1, 0]
      >>> list(zip(trie.starts.tolist(), trie.ends.tolist()))  # the root, a, ab, b
      [(0, 3), (0, 2), (1, 2), (2, 3)]
    """
    pairs = sorted((data, id) for id, data in enumerate(token_bytes) if data)
    if not pairs:
        raise UsageError("no token of this vocabulary has bytes, so that it cannot write any text")
    token_ids = np.array([id for _, id in pairs], np.int32)
    leaf_of_token = np.full(len(token_bytes), NO_NODE, np.int32)
    leaf_of_token[token_ids] = np.arange(len(pairs), dtype=np.int32)
    lengths = np.array([len(data) for data, _ in pairs])
    letters = np.frombuffer(b"".join(data for data, _ in pairs), np.uint8)
    shared = _shared_lengths(letters, lengths)
    # Each token makes a node for each of its bytes that it does not share with the token before it.
    num_new = lengths - shared
    last_nodes = np.cumsum(num_new)
    num_nodes = int(last_nodes[-1]) + 1
    offsets = _ranges(num_new) + np.repeat(shared, num_new)
    starts = np.concatenate([[0], np.repeat(np.arange(len(pairs)), num_new)])
    node_bytes = letters[np.repeat(np.cumsum(lengths) - lengths, num_new) + offsets]
    depths = np.concatenate([[0], offsets + 1])
    parents, ends = _parents_and_ends(depths, starts, len(pairs))
    order = np.argsort(parents[1:], kind="stable")  # pre-order is the order of bytes among siblings
    num_edges = np.bincount(parents[1:], minlength=num_nodes)
    arrays = {
        "token_ids": token_ids,
        "leaf_of_token": leaf_of_token,
        "starts": starts,
        "ends": ends,
        "num_exact": np.bincount(last_nodes, minlength=num_nodes),
        "edge_starts": np.concatenate([[0], np.cumsum(num_edges)]),
        "edge_children": order + 1,
        "depths": depths,
        "parents": parents,
    }
    on_device = {name: jnp.asarray(array.astype(np.int32)) for name, array in arrays.items()}
    return ByteTrie(edge_bytes=jnp.asarray(node_bytes[order]), **on_device)


def step_trie(trie: ByteTrie, nodes: Int[Array, "..."], bytes: Integer[Array, "..."]) -> Int[Array, "..."]:
    """Returns the node after one more byte, -1 if no token has such bytes; the node after -1 is -1.

    Args:
      trie: of the vocabulary.
      nodes: integers of any shape.
      bytes: of a shape that broadcasts with that of `nodes`; numbers beyond 255 are no byte of any token.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding.bytes import make_byte_trie, step_trie
      >>> trie = make_byte_trie([b"b", b"ab", None, b"a"])
      >>> step_trie(trie, jnp.array([0, 1, 1, -1]), jnp.array([*b"abcc"])).tolist()
      [1, 2, -1, -1]
    """
    nodes, bytes = jnp.broadcast_arrays(nodes.astype(jnp.int32), bytes.astype(jnp.int32))
    edges = _Edges(trie.edge_starts, trie.edge_bytes, trie.edge_children)
    owners = jnp.maximum(nodes, 0)

    # A loop, because XLA compiles for minutes where it fuses reads whose places depend on reads.
    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        return edges.halved(bytes, *bounds, jnp.where)

    bounds = edges.starts[owners], edges.starts[owners + 1]
    lows, _ = jax.lax.fori_loop(0, _HALVINGS, halve, bounds)
    return edges.children_by(nodes, bytes, lows, jnp.where)


def nodes_of_bytes(trie: ByteTrie, text: bytes, width: int) -> Int[np.ndarray, "L width"]:
    """Returns the nodes of all short pieces of a text: `[j, d]` is that of `text[j : j + d + 1]`, or -1.

    Args:
      trie: of the vocabulary.
      text: L bytes.
      width: the longest pieces; with the length of the longest token, none is missed.

    Example:
      >>> from jaxlm.decoding.bytes import make_byte_trie, nodes_of_bytes
      >>> nodes_of_bytes(make_byte_trie([b"b", b"ab", None, b"a"]), b"abb", 2).tolist()
      [[1, 2], [3, -1], [3, -1]]
    """
    edges = _Edges(*map(np.asarray, (trie.edge_starts, trie.edge_bytes, trie.edge_children)))
    letters = np.frombuffer(text, np.uint8).astype(np.int32)
    nodes = np.full((len(letters), width), NO_NODE, np.int32)
    begins, current = np.arange(len(letters)), np.full(len(letters), TRIE_ROOT, np.int32)
    for depth in range(width):
        is_inside = begins + depth < len(letters)
        begins, current = begins[is_inside], current[is_inside]
        current = _host_children(edges, current, letters[begins + depth])
        is_node = current >= 0
        begins, current = begins[is_node], current[is_node]
        if not len(begins):
            break
        nodes[begins, depth] = current
    return nodes


def mass_pyramid(trie: ByteTrie, log_probs: Float[Array, "*A V"]) -> Float[Array, "*A blocks"]:
    """Returns the log-masses of 2P blocks of the sorted tokens, from which the mass of any node follows.

    Entry P + i is the log-prob of the i-th sorted token, entry i the log-sum-exp of entries 2i and 2i + 1,
    and entry 0 is -inf. Every entry is rounded once, whatever the number of tokens below it. Ids without
    bytes do not count. Log-probs may be -inf, and gradients are finite.

    Args:
      trie: of the vocabulary.
      log_probs: `[..., V]` nats; they need not be normalised.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding.bytes import make_byte_trie, mass_pyramid
      >>> trie = make_byte_trie([b"b", b"ab", None, b"a"])
      >>> pyramid = mass_pyramid(trie, jnp.log(jnp.array([0.1, 0.2, 0.4, 0.3])))
      >>> [round(mass, 3) for mass in jnp.exp(pyramid[1:4]).tolist()]  # all; a and ab; b
      [0.6, 0.5, 0.1]
    """
    num_tokens = trie.token_ids.shape[0]
    num_leaves = 1 << (num_tokens - 1).bit_length()
    leaves = log_probs.astype(jnp.float32)[..., trie.token_ids]
    padding = [(0, 0)] * (leaves.ndim - 1) + [(0, num_leaves - num_tokens)]
    leaves = jnp.pad(leaves, padding, constant_values=-jnp.inf)
    # A block is its largest log-prob, which is exact, and the sum of its probabilities relative to that.
    has_mass = leaves != -jnp.inf
    largest = jax.lax.stop_gradient(jnp.where(has_mass, leaves, _NO_MASS))
    sums = jnp.where(has_mass, jnp.exp(jnp.where(has_mass, leaves, _NO_MASS) - largest), 0.0)
    levels = [leaves]
    while sums.shape[-1] > 1:
        # Without the barrier XLA would compute a level again for each level above it.
        largest, sums = jax.lax.optimization_barrier((largest, sums))
        left, right = largest[..., ::2], largest[..., 1::2]
        largest = jnp.maximum(left, right)
        sums = sums[..., ::2] * jnp.exp(left - largest) + sums[..., 1::2] * jnp.exp(right - largest)
        levels.append(_log_of_sums(largest, sums))
    levels.append(jnp.full_like(levels[-1], -jnp.inf))
    return jnp.concatenate(levels[::-1], axis=-1)


def node_log_masses(
    trie: ByteTrie, pyramid: Float[Array, "*A blocks"], nodes: Int[Array, "..."]
) -> Float[Array, "..."]:
    """Returns the log of the probability that the next token's bytes begin with a node's; -inf for -1.

    Args:
      trie: of the vocabulary.
      pyramid: `[..., blocks]` as `mass_pyramid` returns it.
      nodes: the first axes are those of `pyramid` but its last; any further axes may follow.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding.bytes import make_byte_trie, mass_pyramid, node_log_masses
      >>> trie = make_byte_trie([b"b", b"ab", None, b"a"])
      >>> pyramid = mass_pyramid(trie, jnp.log(jnp.array([0.1, 0.2, 0.4, 0.3])))
      >>> masses = jnp.exp(node_log_masses(trie, pyramid, jnp.array([1, 2, -1])))  # a, ab, none
      >>> [round(mass, 3) for mass in masses.tolist()]
      [0.5, 0.2, 0.0]
    """
    is_node, nodes = nodes >= 0, jnp.maximum(nodes, 0)
    return _interval_log_masses(pyramid, trie.starts[nodes], jnp.where(is_node, trie.ends[nodes], 0))


def exact_log_masses(
    trie: ByteTrie, pyramid: Float[Array, "*A blocks"], nodes: Int[Array, "..."]
) -> Float[Array, "..."]:
    """Returns the log of the probability that the next token's bytes are a node's; -inf for none, or -1.

    Args:
      trie: of the vocabulary.
      pyramid: `[..., blocks]` as `mass_pyramid` returns it.
      nodes: as for `node_log_masses`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding.bytes import exact_log_masses, make_byte_trie, mass_pyramid
      >>> trie = make_byte_trie([b"b", b"ab", None, b"a"])
      >>> pyramid = mass_pyramid(trie, jnp.log(jnp.array([0.1, 0.2, 0.4, 0.3])))
      >>> masses = jnp.exp(exact_log_masses(trie, pyramid, jnp.array([1, 2, -1])))  # a, ab, none
      >>> [round(mass, 3) for mass in masses.tolist()]
      [0.3, 0.2, 0.0]
    """
    is_node, nodes = nodes >= 0, jnp.maximum(nodes, 0)
    starts = trie.starts[nodes]
    return _interval_log_masses(pyramid, starts, jnp.where(is_node, starts + trie.num_exact[nodes], 0))


def next_byte_log_masses(
    trie: ByteTrie, pyramid: Float[Array, "*A blocks"], nodes: Int[Array, "..."]
) -> Float[Array, "... 256"]:
    """Returns the log-masses of the 256 children of each node; -inf where there is no child.

    Args:
      trie: of the vocabulary.
      pyramid: `[..., blocks]` as `mass_pyramid` returns it.
      nodes: as for `node_log_masses`.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxlm.decoding.bytes import make_byte_trie, mass_pyramid, next_byte_log_masses
      >>> trie = make_byte_trie([b"b", b"ab", None, b"a"])
      >>> pyramid = mass_pyramid(trie, jnp.log(jnp.array([0.1, 0.2, 0.4, 0.3])))
      >>> masses = jnp.exp(next_byte_log_masses(trie, pyramid, jnp.array(0)))
      >>> [round(mass, 3) for mass in masses[97:100].tolist()]  # a, b, c
      [0.5, 0.1, 0.0]
    """
    owners = jnp.maximum(nodes, 0)[..., None]
    edges = trie.edge_starts[owners] + jnp.arange(256, dtype=jnp.int32).reshape((1,) * nodes.ndim + (256,))
    is_own = (nodes >= 0)[..., None] & (edges < trie.edge_starts[owners + 1])
    edges = jnp.minimum(edges, trie.edge_bytes.shape[0] - 1)
    masses = node_log_masses(trie, pyramid, jnp.where(is_own, trie.edge_children[edges], NO_NODE))
    slots = jnp.where(is_own, trie.edge_bytes[edges].astype(jnp.int32), 256)
    rows = jnp.arange(nodes.size, dtype=jnp.int32)[:, None]
    no_masses = jnp.full((nodes.size, 256), -jnp.inf, masses.dtype)
    by_byte = no_masses.at[rows, slots.reshape(-1, 256)].set(masses.reshape(-1, 256), mode="drop")
    return by_byte.reshape(*nodes.shape, 256)


def _shared_lengths(letters: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """How many first bytes each sorted token shares with the token before it; 0 for the first."""
    shorter = np.minimum(lengths[1:], lengths[:-1])
    if not len(shorter):
        return np.zeros(1, np.int64)
    begins = np.cumsum(lengths) - lengths
    offsets = _ranges(shorter)
    before = letters[np.repeat(begins[:-1], shorter) + offsets]
    is_same = before == letters[np.repeat(begins[1:], shorter) + offsets]
    first_other = np.where(is_same, np.repeat(shorter, shorter), offsets)
    return np.concatenate([[0], np.minimum.reduceat(first_other, np.cumsum(shorter) - shorter)])


def _ranges(sizes: np.ndarray) -> np.ndarray:
    """`arange(size)` of each size, one after the other."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _parents_and_ends(
    depths: np.ndarray, starts: np.ndarray, num_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """The parents of nodes in pre-order, and the ends of their intervals, one depth after the other."""
    parents, ends = np.full(len(depths), NO_NODE), np.full(len(depths), num_tokens)
    levels = np.split(np.argsort(depths, kind="stable"), np.cumsum(np.bincount(depths))[:-1])
    for above, level in itertools.pairwise(levels):
        # In pre-order the parent is the last node of the depth above that comes before.
        parents[level] = above[np.searchsorted(above, level) - 1]
        following = np.append(level[1:], NO_NODE)
        is_sibling = (parents[level] == parents[following]) & (following != NO_NODE)
        ends[level] = np.where(is_sibling, starts[following], ends[parents[level]])
    return parents, ends


class _Edges(NamedTuple):
    """The edges of a trie, on the device or on the host."""

    starts: AnyArray
    bytes: AnyArray
    children: AnyArray

    def halved(self, bytes: AnyArray, lows: AnyArray, highs: AnyArray, where: _Where) -> tuple[Any, Any]:
        """The halves of intervals of edges in which the first one is that is not below a byte."""
        middles = (lows + highs) // 2
        last = len(self.bytes) - 1
        letters = self.bytes[where(middles < last, middles, last)].astype(np.int32)
        is_below = (lows < highs) & (letters < bytes)
        return where(is_below, middles + 1, lows), where(is_below, highs, middles)

    def children_by(self, nodes: AnyArray, bytes: AnyArray, lows: AnyArray, where: _Where) -> Any:
        """The children to which the edges lead if they are the nodes' own and of these bytes, else -1."""
        last = len(self.bytes) - 1
        edges = where(lows < last, lows, last)
        is_own = (nodes >= 0) & (lows < self.starts[where(nodes >= 0, nodes, 0) + 1])
        return where(is_own & (self.bytes[edges].astype(np.int32) == bytes), self.children[edges], NO_NODE)


def _host_children(edges: _Edges, nodes: np.ndarray, bytes: np.ndarray) -> np.ndarray:
    """What `step_trie` returns, in NumPy."""
    owners = np.maximum(nodes, 0)
    lows, highs = edges.starts[owners], edges.starts[owners + 1]
    for _ in range(_HALVINGS):
        lows, highs = edges.halved(bytes, lows, highs, np.where)
    return edges.children_by(nodes, bytes, lows, np.where)


def _interval_log_masses(pyramid: Array, starts: Array, ends: Array) -> Array:
    """Log-sum-exp over intervals of sorted tokens, of which each is at most two blocks of every size."""
    num_leaves = pyramid.shape[-1] // 2
    sizes = jnp.arange(num_leaves.bit_length(), dtype=jnp.int32).reshape((1,) * starts.ndim + (-1,))
    # The blocks of 2^size leaves that lie inside the interval; an odd one is left over by the next size.
    lows = (starts[..., None] + num_leaves + (1 << sizes) - 1) >> sizes
    highs = (ends[..., None] + num_leaves) >> sizes
    # Block 0 has no mass: it stands where none is taken.
    firsts = jnp.where((lows < highs) & (lows % 2 == 1), lows, 0)
    lasts = jnp.where((lows < highs) & (highs % 2 == 1), highs - 1, 0)
    blocks = jnp.concatenate([firsts, lasts], axis=-1)
    outer = pyramid.shape[:-1]
    masses = jnp.take_along_axis(pyramid, blocks.reshape(*outer, -1), axis=-1, mode="clip")
    masses = masses.reshape(blocks.shape)
    largest = jax.lax.stop_gradient(jnp.maximum(masses.max(-1), _NO_MASS))
    return _log_of_sums(largest, jnp.exp(masses - largest[..., None]).sum(-1))


def _log_of_sums(largest: Array, sums: Array) -> Array:
    """`largest + log(sums)`, -inf and without gradient where a sum is 0."""
    has_mass = sums > 0
    return jnp.where(has_mass, largest + jnp.log(jnp.where(has_mass, sums, 1.0)), -jnp.inf)
