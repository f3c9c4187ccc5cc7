"""A way on for a beam that a byte would end: a token is ended earlier, and its last bytes are read again."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxlm.decoding.bytes._trie import NO_NODE, TRIE_ROOT, ByteTrie

if TYPE_CHECKING:
    from jaxlm.decoding.bytes._beam_engine import BeamEngine, BeamStep


class HealingTrie:
    """A trie on the host, where one node at a time is looked at.

    Attributes:
      ids: `Int[tokens]` sorted by their bytes.
    """

    def __init__(self, trie: ByteTrie) -> None:
        self.ids = np.asarray(trie.token_ids)
        self._starts, self._ends, self._num_exact = map(np.asarray, (trie.starts, trie.ends, trie.num_exact))
        self._edge_starts, self._edge_bytes = np.asarray(trie.edge_starts), np.asarray(trie.edge_bytes)
        self._edge_children = np.asarray(trie.edge_children)
        self._last_bytes = np.zeros(len(trie.depths), np.uint8)
        self._last_bytes[self._edge_children] = self._edge_bytes
        self._depths, self._parents = np.asarray(trie.depths), np.asarray(trie.parents)

    def depth(self, node: int) -> int:
        """Returns how many bytes a node has."""
        return int(self._depths[node])

    def parent(self, node: int) -> int:
        """Returns the node of all bytes but the last."""
        return int(self._parents[node])

    def text(self, node: int) -> bytes:
        """Returns the bytes of a node."""
        letters = bytearray()
        while node != TRIE_ROOT:
            letters.append(int(self._last_bytes[node]))
            node = self.parent(node)
        return bytes(letters[::-1])

    def ids_below(self, node: int) -> np.ndarray:
        """Returns the ids whose bytes begin with a node's."""
        return self.ids[int(self._starts[node]) : int(self._ends[node])]

    def ids_at(self, node: int) -> np.ndarray:
        """Returns the ids whose bytes are a node's."""
        start = int(self._starts[node])
        return self.ids[start : start + int(self._num_exact[node])]

    def child(self, node: int, byte: int) -> int:
        """Returns the node after one more byte; -1: there is none."""
        edges = slice(int(self._edge_starts[node]), int(self._edge_starts[node + 1]))
        letters = self._edge_bytes[edges]
        index = int(np.searchsorted(letters, byte))
        if index == len(letters) or letters[index] != byte:
            return NO_NODE
        return int(self._edge_children[edges][index])


class Healed(NamedTuple):
    """The candidate that healing gives.

    Attributes:
      context: its context in the model's cache.
      node: its trie node.
      base: the log-prob of its context, relative to that of the step that was healed.
    """

    context: Any
    node: int
    base: float


def heal_candidates(engine: "BeamEngine", step: "BeamStep", byte: int) -> Healed | None:
    """Returns a candidate that has read one more byte, the first that is found; None: there is none.

    The likeliest candidate is tried first, and from each the latest place where a token may end.

    Args:
      engine: of the beam.
      step: whose candidates cannot be followed by the byte.
      byte: the byte.
    """
    for context, node, base in zip(step.contexts, step.nodes.tolist(), step.bases.tolist(), strict=True):
        if context is None:
            continue
        partial = engine.host_trie.text(node)
        for ended in _ancestors(engine.host_trie, node, engine.settings.heal_max_backoff):
            first = _ended(engine, step, context, ended, base)
            if first is None:
                continue
            healed = _read(engine, step, first, (*partial[engine.host_trie.depth(ended) :], byte))
            if healed is not None:
                return healed
    return None


def _read(engine: "BeamEngine", step: "BeamStep", healed: Healed, rest: tuple[int, ...]) -> Healed | None:
    """The candidate after more bytes; where no token goes on, the token so far is ended."""
    splits_left = engine.settings.heal_max_splits
    for byte in rest:
        child = engine.host_trie.child(healed.node, byte)
        if child == NO_NODE:
            if splits_left == 0:
                return None
            splits_left = None if splits_left is None else splits_left - 1
            ended = _ended(engine, step, healed.context, healed.node, healed.base)
            if ended is None:
                return None
            healed, child = ended, engine.host_trie.child(TRIE_ROOT, byte)
            if child == NO_NODE:
                return None
        healed = healed._replace(node=child)
    log_probs = engine.token_log_probs(healed.context, is_text=step.is_text)
    return healed if np.isfinite(log_probs[engine.host_trie.ids_below(healed.node)].max()) else None


def _ended(engine: "BeamEngine", step: "BeamStep", context: Any, node: int, base: float) -> Healed | None:
    """The candidate at the root after the likeliest token that spells a node; None if no token does."""
    ids = engine.host_trie.ids_at(node)
    if node == TRIE_ROOT or not len(ids):
        return None
    log_probs = engine.token_log_probs(context, is_text=step.is_text)
    id = int(ids[np.argmax(log_probs[ids])])
    if not np.isfinite(log_probs[id]):
        return None
    return Healed(engine.lm.node((id,), after=context), TRIE_ROOT, base + float(log_probs[id]))


def _ancestors(trie: HealingTrie, node: int, max_backoff: int | None) -> Iterator[int]:
    """The node and those above it without the root, as far up as allowed."""
    lowest = 0 if max_backoff is None else trie.depth(node) - max_backoff
    while node != TRIE_ROOT and trie.depth(node) >= lowest:
        yield node
        node = trie.parent(node)
