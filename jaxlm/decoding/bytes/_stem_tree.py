"""The canonical stems of a text as a tree, and the probability of every prefix of the text from their masses.

A stem is the canonical ids of a prefix of the text. A text goes on behind a stem by one token, of which it
may hold the first bytes only. So the probability of a prefix is a sum over stems: that of the stem, times the
mass of the tokens whose bytes begin with the rest of the prefix. All arrays here are of NumPy.

Letters: `N` nodes, `W` bytes of the longest piece behind a node, `K` the most children of a node, `L` bytes.
"""

import math
from typing import NamedTuple

import numpy as np

from jaxlm.decoding.bytes._canonical import CanonicalEncoder

NO_PARENT = -1


class StemTree(NamedTuple):
    """The stems of all prefixes of a text. A node comes after its parent; the ids of the opening are first.

    Without an opening the first node stands for the empty text; it has no token, and the model reads none.

    Attributes:
      tokens: `Int[N]` the last id of each stem; -1 for a node without a token.
      parents: `Int[N]` the node of the stem without its last id, -1 for the first node.
      depths: `Int[N]` how many ids come before the last one; -1 for a node without a token.
      ends: `Int[N]` how many bytes of the text a stem spells.
      sinces: `Int[N]` the length of the shortest prefix that has the stem; more than `ends` where the bytes
        behind the stem changed how its own are divided.
      root: the node of the empty text.
      anchor: the node from which on a longer text is divided anew, see `CanonicalEncoder.prefixes`.
      is_whole: whether the root is the beginning of a text; else it is a token of one, see `windows_of`.
    """

    tokens: np.ndarray
    parents: np.ndarray
    depths: np.ndarray
    ends: np.ndarray
    sinces: np.ndarray
    root: int
    anchor: int
    is_whole: bool = True

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.tokens)

    def children(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ids of each node's children, `Int[N K]`, -1 for none, and each node's column there."""
        counts = np.zeros(self.num_nodes, np.int32)
        columns = np.zeros(self.num_nodes, np.int32)
        for node, parent in enumerate(self.parents.tolist()):
            if parent != NO_PARENT:
                columns[node] = counts[parent]
                counts[parent] += 1
        ids = np.full((self.num_nodes, max(1, int(counts.max(initial=0)))), -1, np.int32)
        is_child = self.parents != NO_PARENT
        ids[self.parents[is_child], columns[is_child]] = self.tokens[is_child]
        return ids, columns


def stem_tree(encoder: CanonicalEncoder, data: bytes, opening: tuple[int, ...]) -> StemTree:
    """Returns the stems of a text.

    Args:
      encoder: of the tokenizer.
      data: the bytes of the text, with the tokenizer's prefix in front.
      opening: ids before the text.

    Example:
      >>> from jaxlm import tokenizers
      >>> from jaxlm.decoding.bytes._canonical import CanonicalEncoder
      >>> from jaxlm.decoding.bytes._stem_tree import stem_tree
      >>> encoder = CanonicalEncoder(tokenizers.bytes_tokenizer())
      >>> tree = stem_tree(encoder, b"ab", opening=(258,))
      >>> tree.tokens.tolist(), tree.parents.tolist(), tree.ends.tolist()
      ([258, 97, 98], [-1, 0, 1], [0, 1, 2])
    """
    tokens = list(opening) or [-1]
    root = len(tokens) - 1
    parents, ends, sinces = list(range(NO_PARENT, root)), [0] * len(tokens), [0] * len(tokens)
    nodes: dict[tuple[int, int], int] = {}
    values, anchor = encoder.table.values, root
    for prefix in encoder.prefixes(data):
        node, next_anchor = anchor, anchor
        for count, id in enumerate(prefix.ids or (), start=1):
            child = nodes.get((node, id))
            if child is None:
                child = nodes[node, id] = len(tokens)
                tokens.append(id)
                parents.append(node)
                ends.append(ends[node] + len(values[id] or b""))
                sinces.append(prefix.length)
            node = child
            if count == prefix.num_fixed:
                next_anchor = node
        anchor = next_anchor
    depths = np.zeros(len(tokens), np.int32)
    for node, parent in enumerate(parents):
        depths[node] = depths[parent] + 1 if parent != NO_PARENT else 0 if opening else -1
    return StemTree(
        np.array(tokens, np.int32),
        np.array(parents, np.int32),
        depths,
        np.array(ends, np.int32),
        np.array(sinces, np.int32),
        root,
        anchor,
    )


class StemMasses(NamedTuple):
    """What the model says behind each stem of a text, in nats.

    Attributes:
      pieces: `Float[N W]` the mass of the tokens that begin with the first 1, 2, ... bytes behind the stem;
        -inf where no token does.
      children: `Float[N K]` the log-prob of each child's id.
      ends: `Float[N]` the log-prob that the text ends.
      followers: `Float[N W+1 256]` the mass of the tokens that begin with the first 0, 1, ... bytes behind
        the stem and another byte; None if it was not asked for.
    """

    pieces: np.ndarray
    children: np.ndarray
    ends: np.ndarray
    followers: np.ndarray | None = None


class StemSums(NamedTuple):
    """The probabilities of a text's prefixes, float64 nats.

    No prefix is more probable than a shorter one. A stem may join the sum again after it, or the one that it
    goes on from, was left out; so may one that only the bytes behind it make canonical. What is added then is
    cut at the probability of the shorter prefix: all of it stays at most P of all tokens.

    Attributes:
      prefixes: `Float64[L+1]` log P of each prefix; 0 for the empty one.
      ends: `Float64[L+1]` log P of each prefix with the end of the text behind it.
      kept: `Float64[L+1]` the log of the share that was not lost to `max_stems` up to each prefix.
      nodes: `Float64[N]` log P of each stem.
      lives: for each prefix, the nodes that the sum over the next byte is over.
    """

    prefixes: np.ndarray
    ends: np.ndarray
    kept: np.ndarray
    nodes: np.ndarray
    lives: tuple[tuple[int, ...], ...]

    @property
    def live(self) -> tuple[int, ...]:
        """The nodes that the sum over the byte behind the text is over."""
        return self.lives[-1]


def stem_sums(
    tree: StemTree, masses: StemMasses, columns: np.ndarray, length: int, max_stems: int
) -> StemSums:
    """Returns the probability of every prefix of a text.

    Args:
      tree: of the text.
      masses: behind its stems.
      columns: of `tree.children()`.
      length: L, how many bytes the text has.
      max_stems: how many stems a sum is over; those of the least mass are left out, and do not come back.
    """
    own = masses.children[np.maximum(tree.parents, 0), columns].astype(np.float64)
    nodes = np.zeros(tree.num_nodes)
    for node in range(tree.root + 1, tree.num_nodes):
        nodes[node] = nodes[tree.parents[node]] + own[node]
    # A stem takes part from the first prefix on that is longer than itself.
    joins: list[list[int]] = [[] for _ in range(length + 2)]
    closes: list[list[int]] = [[] for _ in range(length + 2)]
    for node in range(tree.root, tree.num_nodes):
        joins[max(int(tree.sinces[node]), int(tree.ends[node]) + 1)].append(node)
        if tree.sinces[node] == tree.ends[node]:
            closes[int(tree.ends[node])].append(node)
    prefixes, ends, kept = (np.full(length + 1, -np.inf) for _ in range(3))
    prefixes[0] = kept[0] = 0.0
    ends[0] = float(masses.ends[tree.root])
    live: list[int] = []
    lives: list[tuple[int, ...]] = [(tree.root,)]
    width = masses.pieces.shape[1]
    for size in range(1, length + 1):
        terms = []
        for node in live + joins[size]:
            depth = size - int(tree.ends[node]) - 1
            term = nodes[node] + float(masses.pieces[node, depth]) if depth < width else -math.inf
            if term > -math.inf:
                terms.append((term, node))
        terms, lost = bounded(terms, max_stems)
        live = [node for _, node in terms]
        prefixes[size] = min(prefixes[size - 1], log_sum([term for term, _ in terms]))
        kept[size] = kept[size - 1] + lost
        ended = log_sum([nodes[node] + masses.ends[node] for node in closes[size]])
        ends[size] = min(prefixes[size], ended)
        # Those that the next byte makes canonical are not known before it.
        lives.append((*live, *(node for node in joins[size + 1] if tree.sinces[node] <= size)))
    return StemSums(prefixes, ends, kept, nodes, tuple(lives))


def bounded(terms: list[tuple[float, int]], most: int) -> tuple[list[tuple[float, int]], float]:
    """Returns the largest terms, in the order given, and the log of their share of the sum of all.

    Args:
      terms: (log of a mass, number) each.
      most: how many are kept.

    Example:
      >>> from jaxlm.decoding.bytes._stem_tree import bounded
      >>> bounded([(-3.0, 0), (0.0, 1)], most=1)
      ([(0.0, 1)], -0.0485...)
    """
    if len(terms) <= most:
        return terms, 0.0
    order = sorted(range(len(terms)), key=lambda index: -terms[index][0])
    kept = [terms[index] for index in sorted(order[:most])]
    return kept, log_sum([term for term, _ in kept]) - log_sum([term for term, _ in terms])


def log_sum(terms) -> float:
    """Returns the log-sum-exp of numbers, -inf of none."""
    largest = max(terms, default=-math.inf)
    if largest == -math.inf:
        return -math.inf
    return float(largest + math.log(sum(math.exp(term - largest) for term in terms)))
